# The server's HTTP (apps/gale/http), which knows nothing of what is served, over libuv and llhttp.

# llhttp is as it was fetched (tools/refresh-llhttp), in its strict mode, and not a source of ours: without our warnings.
pkg_check_modules(UV REQUIRED IMPORTED_TARGET libuv)
file(GLOB sources CONFIGURE_DEPENDS third_party/llhttp/*.c)
add_library(llhttp STATIC ${sources})
target_include_directories(llhttp SYSTEM PUBLIC third_party/llhttp)
target_compile_definitions(llhttp PUBLIC LLHTTP_STRICT_MODE=1)
if(GALE_SANITIZE)
  target_compile_options(llhttp PRIVATE -fsanitize=${GALE_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
endif()
if(GALE_FUZZ)
  target_compile_options(llhttp PRIVATE -fsanitize=fuzzer-no-link)
endif()

file(GLOB sources CONFIGURE_DEPENDS apps/gale/http/*.c)
add_library(gale_http STATIC ${sources})
target_include_directories(gale_http PUBLIC apps)
target_link_libraries(gale_http PUBLIC gale_flags llhttp PkgConfig::UV)

