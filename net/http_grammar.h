// The words of HTTP/1.1 that requests and responses share (RFC 9110, 5). Internal to net/.
#pragma once

#include <string_view>

namespace signet::net {

bool EqualIgnoringCase(std::string_view a, std::string_view b);
bool IsToken(std::string_view text);  // RFC 9110, 5.6.2
// Visible characters, blanks, tabs and bytes of any other script.
bool IsFieldValue(std::string_view text);
// Without blanks and tabs at either end.
std::string_view Trim(std::string_view text);

// "Name: value" without its line end. False when it is none: no folding, no blank before the colon.
bool SplitField(std::string_view line, std::string_view* name, std::string_view* value);

}  // namespace signet::net
