# Warnings and instrumentation for our own code; third-party headers are SYSTEM.

add_library(signet_compiler INTERFACE)
target_compile_options(signet_compiler INTERFACE
  -Wall -Wextra -Wconversion -Wshadow -Werror -fno-omit-frame-pointer
  -ffile-prefix-map=${CMAKE_SOURCE_DIR}/=)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # These cry wolf over std::string, std::vector and tl::expected when g++ 12 optimises.
  target_compile_options(signet_compiler INTERFACE -Wno-maybe-uninitialized -Wno-restrict -Wno-array-bounds
                         -Wno-stringop-overflow -Wno-stringop-overread)
endif()
target_compile_definitions(signet_compiler INTERFACE SIGNET_VERSION="${PROJECT_VERSION}")

set(CMAKE_CXX_FLAGS_DEBUG "-O0 -g1")
set(CMAKE_CXX_FLAGS_RELWITHDEBINFO "-O2 -g1")
add_compile_options($<$<CONFIG:RelWithDebInfo>:-D_FORTIFY_SOURCE=2> -fstack-protector-strong)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
add_link_options(-Wl,-z,relro,-z,now)

if(SIGNET_SANITIZE)
  add_compile_options(-fsanitize=${SIGNET_SANITIZE} -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${SIGNET_SANITIZE})
  if(SIGNET_SANITIZE MATCHES "thread")
    include_directories(BEFORE SYSTEM ${CMAKE_SOURCE_DIR}/cmake/tsan)  # says why
  endif()
endif()
if(SIGNET_COVERAGE)
  add_compile_options(--coverage)
  add_link_options(--coverage)
endif()
if(SIGNET_FUZZ)
  add_compile_options(-fsanitize=fuzzer-no-link)
endif()
