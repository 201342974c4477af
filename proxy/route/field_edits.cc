#include "proxy/route/field_edits.h"

#include <algorithm>

#include "mesh/routes/route_action.h"
#include "proxy/http/syntax.h"

namespace signet::proxy {

void ApplyHeaderEdits(const mesh::HeaderEdits& edits, Fields* fields) {
  if (edits.empty()) return;
  fields->RemoveIf([&](const Fields::Field& field) {
    return std::ranges::any_of(
               edits.remove,
               [&](const auto& name) { return EqualsIgnoreCase(field.name, name); }) ||
           std::ranges::any_of(edits.set, [&](const auto& pair) {
             return EqualsIgnoreCase(field.name, pair.first);
           });
  });
  for (const auto* pairs : {&edits.set, &edits.add})
    for (const auto& [name, value] : *pairs) fields->Add(name, value);
}

void ApplyRewrite(const mesh::UrlRewrite& rewrite, const mesh::RouteMatch& match,
                  RequestHead* request) {
  if (!rewrite.hostname.empty()) request->authority = rewrite.hostname;
  // "*" of OPTIONS names no resource that could be another one.
  if (request->path.starts_with('/'))
    request->path = mesh::EditTarget(rewrite.path, match, request->path);
}

}  // namespace signet::proxy
