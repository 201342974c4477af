#include "agent/workload/systemd/unit_files.h"

#include <dlfcn.h>
#include <systemd/sd-bus.h>

#include <cstdlib>
#include <utility>

#include "base/file.h"

namespace signet::agent {
namespace {

constexpr const char* kManager = "org.freedesktop.systemd1";
constexpr const char* kUnits = "/org/freedesktop/systemd1/unit";
constexpr const char* kUnit = "org.freedesktop.systemd1.Unit";

constexpr const char* kLibrary = "libsystemd.so.0";

tl::unexpected<Error> Away(std::string why) {
  return Fail(Code::kUnavailable, kBusAway, std::move(why));
}

// What is used of libsystemd, loaded when somebody first asks for a unit's file: five libraries
// come with it, which most agents never need. It stays loaded.
class Systemd {
 public:
  static Result<const Systemd*> Load() {
    static const Systemd library;
    if (!library.missing_.empty()) return Away(library.missing_);
    return &library;
  }

  decltype(&sd_bus_open_system) open_system;
  decltype(&sd_bus_new) make;
  decltype(&sd_bus_set_address) set_address;
  decltype(&sd_bus_set_bus_client) set_bus_client;
  decltype(&sd_bus_start) start;
  decltype(&sd_bus_close_unref) close_unref;
  decltype(&sd_bus_set_method_call_timeout) set_method_call_timeout;
  decltype(&sd_bus_path_encode) path_encode;
  decltype(&sd_bus_get_property_string) get_property_string;
  decltype(&sd_bus_error_free) error_free;

 private:
  Systemd() : handle_(dlopen(kLibrary, RTLD_NOW | RTLD_LOCAL)) {
    if (handle_ == nullptr) missing_ = dlerror();
    Find("sd_bus_open_system", &open_system);
    Find("sd_bus_new", &make);
    Find("sd_bus_set_address", &set_address);
    Find("sd_bus_set_bus_client", &set_bus_client);
    Find("sd_bus_start", &start);
    Find("sd_bus_close_unref", &close_unref);
    Find("sd_bus_set_method_call_timeout", &set_method_call_timeout);
    Find("sd_bus_path_encode", &path_encode);
    Find("sd_bus_get_property_string", &get_property_string);
    Find("sd_bus_error_free", &error_free);
  }

  template <class Function>
  void Find(const char* name, Function* function) {
    *function = handle_ == nullptr ? nullptr : reinterpret_cast<Function>(dlsym(handle_, name));
    if (*function == nullptr && missing_.empty())
      missing_ = std::string(kLibrary) + " has no " + name;
  }

  void* const handle_;
  std::string missing_;  // why it cannot be used; empty: it can
};

struct CloseBus {
  const Systemd* library;
  void operator()(sd_bus* bus) const { library->close_unref(bus); }
};
using BusPtr = std::unique_ptr<sd_bus, CloseBus>;

struct FreeText {
  void operator()(char* text) const { std::free(text); }
};
using TextPtr = std::unique_ptr<char, FreeText>;

struct BusError {
  explicit BusError(const Systemd& l) : library(l) {}
  BusError(const BusError&) = delete;
  BusError& operator=(const BusError&) = delete;
  ~BusError() { library.error_free(&value); }
  const Systemd& library;
  sd_bus_error value = SD_BUS_ERROR_NULL;
};

tl::unexpected<Error> Away(int error, const sd_bus_error* said = nullptr) {
  return Away(said != nullptr && said->message != nullptr ? said->message : ErrnoText(-error));
}

class BusUnitFiles final : public UnitFiles {
 public:
  explicit BusUnitFiles(std::string address) : address_(std::move(address)) {}

  Result<std::string> FragmentPath(const std::string& unit,
                                   std::chrono::microseconds timeout) override {
    SIGNET_TRY(const Systemd* const library, Systemd::Load());
    SIGNET_TRY(const BusPtr bus, Open(*library));
    library->set_method_call_timeout(bus.get(), static_cast<std::uint64_t>(timeout.count()));
    char* encoded = nullptr;
    if (const int done = library->path_encode(kUnits, unit.c_str(), &encoded); done < 0)
      return Away(done);
    const TextPtr path(encoded);
    BusError error(*library);
    char* answered = nullptr;
    const int done = library->get_property_string(bus.get(), kManager, path.get(), kUnit,
                                                  "FragmentPath", &error.value, &answered);
    const TextPtr fragment(answered);
    if (done < 0) return Away(done, &error.value);
    return std::string(fragment.get());
  }

 private:
  Result<BusPtr> Open(const Systemd& library) const {
    sd_bus* opened = nullptr;
    if (address_.empty()) {
      const int done = library.open_system(&opened);
      if (done < 0) return Away(done);
      return BusPtr(opened, {&library});
    }
    int done = library.make(&opened);
    if (done < 0) return Away(done);
    BusPtr bus(opened, {&library});
    if ((done = library.set_address(bus.get(), address_.c_str())) < 0) return Away(done);
    if ((done = library.set_bus_client(bus.get(), 1)) < 0) return Away(done);
    if ((done = library.start(bus.get())) < 0) return Away(done);
    return bus;
  }

  const std::string address_;
};

}  // namespace

std::unique_ptr<UnitFiles> MakeBusUnitFiles(std::string address) {
  return std::make_unique<BusUnitFiles>(std::move(address));
}

}  // namespace signet::agent
