# signet_embed_migrations(TARGET FOLDER SYMBOL): the FOLDER's NNNN_name.sql files, in order, as
# `std::span<const Migration> SYMBOL()` in TARGET (declared in identity/store/migration.h), so that the
# program carries its own schema.
function(signet_embed_migrations target folder symbol)
  file(GLOB scripts CONFIGURE_DEPENDS ${folder}/*.sql)
  list(SORT scripts)
  set(expected 1)
  set(items "")
  foreach(script ${scripts})
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${script})
    get_filename_component(stem ${script} NAME_WE)
    if(NOT stem MATCHES "^([0-9][0-9][0-9][0-9])_([a-z0-9_]+)$")
      message(FATAL_ERROR "migrations: '${script}' is not named NNNN_name.sql")
    endif()
    set(name ${CMAKE_MATCH_2})  # before the next match overwrites it
    string(REGEX REPLACE "^0+" "" number ${CMAKE_MATCH_1})
    if(NOT number EQUAL expected)
      message(FATAL_ERROR "migrations: '${script}' should have number ${expected}")
    endif()
    math(EXPR expected "${expected} + 1")
    file(READ ${script} sql)
    string(APPEND items "    {${number}, \"${name}\", R\"~sql~(${sql})~sql~\"},\n")
  endforeach()
  set(generated ${CMAKE_CURRENT_BINARY_DIR}/${symbol}.cc)
  file(CONFIGURE OUTPUT ${generated} @ONLY CONTENT
"// Made from @folder@ by migrations/embed.cmake.
#include \"identity/store/migration.h\"

namespace signet::identity {
namespace {
constexpr Migration kMigrations[] = {
@items@};
}  // namespace
std::span<const Migration> @symbol@() { return kMigrations; }
}  // namespace signet::identity
")
  target_sources(${target} PRIVATE ${generated})
endfunction()
