// In front of protobuf's own header in thread sanitizer builds: that one gives maps another layout
// when it sees the sanitizer, and Debian's library was built without. Else google.protobuf.Struct,
// which lives in the library, is read at the wrong offsets.
#pragma push_macro("__SANITIZE_THREAD__")
#undef __SANITIZE_THREAD__
#include_next <google/protobuf/map_field.h>
#pragma pop_macro("__SANITIZE_THREAD__")
