// A value that a proof stands behind. Only `Verifier` makes one, after the check, from the very
// bytes that were checked: code that takes a Verified<…> cannot be given what nobody vouched for.
#pragma once

#include <utility>

namespace signet::identity {

template <class T, class Verifier>
class Verified {
 public:
  const T& operator*() const { return value_; }
  const T* operator->() const { return &value_; }

 private:
  friend Verifier;
  explicit Verified(T value) : value_(std::move(value)) {}
  T value_;
};

}  // namespace signet::identity
