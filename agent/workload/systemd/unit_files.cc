#include "agent/workload/systemd/unit_files.h"

#include <systemd/sd-bus.h>

#include <cstdlib>
#include <utility>

#include "base/file.h"

namespace signet::agent {
namespace {

constexpr const char* kManager = "org.freedesktop.systemd1";
constexpr const char* kUnits = "/org/freedesktop/systemd1/unit";
constexpr const char* kUnit = "org.freedesktop.systemd1.Unit";

struct CloseBus {
  void operator()(sd_bus* bus) const { sd_bus_close_unref(bus); }
};
using BusPtr = std::unique_ptr<sd_bus, CloseBus>;

struct FreeText {
  void operator()(char* text) const { std::free(text); }
};
using TextPtr = std::unique_ptr<char, FreeText>;

struct BusError {
  sd_bus_error value = SD_BUS_ERROR_NULL;
  BusError() = default;
  BusError(const BusError&) = delete;
  BusError& operator=(const BusError&) = delete;
  ~BusError() { sd_bus_error_free(&value); }
};

tl::unexpected<Error> Away(int error, const sd_bus_error* said = nullptr) {
  return Fail(Code::kUnavailable, kBusAway,
              said != nullptr && said->message != nullptr ? said->message : ErrnoText(-error));
}

class BusUnitFiles final : public UnitFiles {
 public:
  explicit BusUnitFiles(std::string address) : address_(std::move(address)) {}

  Result<std::string> FragmentPath(const std::string& unit,
                                   std::chrono::microseconds timeout) override {
    SIGNET_TRY(const BusPtr bus, Open());
    sd_bus_set_method_call_timeout(bus.get(), static_cast<std::uint64_t>(timeout.count()));
    char* encoded = nullptr;
    if (const int done = sd_bus_path_encode(kUnits, unit.c_str(), &encoded); done < 0)
      return Away(done);
    const TextPtr path(encoded);
    BusError error;
    char* answered = nullptr;
    const int done = sd_bus_get_property_string(bus.get(), kManager, path.get(), kUnit,
                                                "FragmentPath", &error.value, &answered);
    const TextPtr fragment(answered);
    if (done < 0) return Away(done, &error.value);
    return std::string(fragment.get());
  }

 private:
  Result<BusPtr> Open() const {
    sd_bus* opened = nullptr;
    if (address_.empty()) {
      const int done = sd_bus_open_system(&opened);
      if (done < 0) return Away(done);
      return BusPtr(opened);
    }
    int done = sd_bus_new(&opened);
    if (done < 0) return Away(done);
    BusPtr bus(opened);
    if ((done = sd_bus_set_address(bus.get(), address_.c_str())) < 0) return Away(done);
    if ((done = sd_bus_set_bus_client(bus.get(), 1)) < 0) return Away(done);
    if ((done = sd_bus_start(bus.get())) < 0) return Away(done);
    return bus;
  }

  const std::string address_;
};

}  // namespace

std::unique_ptr<UnitFiles> MakeBusUnitFiles(std::string address) {
  return std::make_unique<BusUnitFiles>(std::move(address));
}

}  // namespace signet::agent
