// A library put before the others of a program under test (LD_PRELOAD): at the n-th passing of one
// numbered point of the issuance cycle (docs/issuance.md) it kills the process, or answers a sync
// with EIO. The program itself knows nothing of it.
//
//   SIGNET_FAULT=<kill|eio>:<point>:<n>    points: serial row sync synced sign signed reply replied
//   SIGNET_FAULT_ARM=<path>                passings count from when this file is there
#include <dlfcn.h>
#include <openssl/evp.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <string_view>

namespace {

struct Fault {
  bool kill = false;
  std::string_view point;
  long at = 0;
  const char* arm = nullptr;
};

Fault ReadFault() {
  Fault fault;
  const char* const text = std::getenv("SIGNET_FAULT");
  fault.arm = std::getenv("SIGNET_FAULT_ARM");
  if (text == nullptr || fault.arm == nullptr) return fault;
  const std::string_view spec(text);
  const auto first = spec.find(':'), last = spec.rfind(':');
  if (first == last) std::abort();
  fault.kill = spec.substr(0, first) == "kill";
  fault.point = spec.substr(first + 1, last - first - 1);
  fault.at = std::atol(text + last + 1);
  return fault;
}

// True when this passing is the one; the process is gone then if it is to be killed.
bool Passes(std::string_view point) {
  static const Fault fault = ReadFault();
  static std::atomic<long> passed = 0;
  if (fault.point != point || access(fault.arm, F_OK) != 0) return false;
  if (++passed != fault.at) return false;
  if (fault.kill) kill(getpid(), SIGKILL);
  return true;
}

template <class F>
F Next(const char* name) {
  return reinterpret_cast<F>(dlsym(RTLD_NEXT, name));
}

}  // namespace

extern "C" {

ssize_t getrandom(void* buffer, size_t size, unsigned flags) {
  static const auto next = Next<decltype(&getrandom)>("getrandom");
  const ssize_t got = next(buffer, size, flags);
  Passes("serial");
  return got;
}

ssize_t pwrite64(int fd, const void* buffer, size_t size, off64_t offset) {
  static const auto next = Next<decltype(&pwrite64)>("pwrite64");
  Passes("row");
  return next(fd, buffer, size, offset);
}

int fdatasync(int fd) {
  static const auto next = Next<decltype(&fdatasync)>("fdatasync");
  if (Passes("sync")) {
    errno = EIO;
    return -1;
  }
  const int result = next(fd);
  Passes("synced");
  return result;
}

int EVP_PKEY_sign(EVP_PKEY_CTX* context, unsigned char* signature, size_t* signature_size,
                  const unsigned char* digest, size_t digest_size) {
  static const auto next = Next<decltype(&EVP_PKEY_sign)>("EVP_PKEY_sign");
  Passes("sign");
  const int result = next(context, signature, signature_size, digest, digest_size);
  Passes("signed");
  return result;
}

ssize_t send(int fd, const void* bytes, size_t size, int flags) {
  static const auto next = Next<decltype(&send)>("send");
  Passes("reply");
  const ssize_t sent = next(fd, bytes, size, flags);
  Passes("replied");
  return sent;
}

}  // extern "C"
