// A stable sort that clang's diagnostics accept: libstdc++ 12's std::stable_sort calls
// std::get_temporary_buffer, which C++17 deprecated.
#pragma once

#include <functional>
#include <iterator>
#include <list>
#include <vector>

namespace signet {

// Orders by `key` of each item; equal ones keep their order. Moves the items.
template <class T, class Key>
void StableSortBy(std::vector<T>& items, Key key) {
  std::list<T> sorted(std::make_move_iterator(items.begin()), std::make_move_iterator(items.end()));
  sorted.sort([&](const T& a, const T& b) { return std::invoke(key, a) < std::invoke(key, b); });
  items.assign(std::make_move_iterator(sorted.begin()), std::make_move_iterator(sorted.end()));
}

}  // namespace signet
