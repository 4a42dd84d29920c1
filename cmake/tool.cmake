# The gale command. It is linked with libgale.a, so that it can use only what the headers of include/ offer, and with
# the strict reader of JSON (src/json), which requests and data files are read with.

include(cmake/serve.cmake)
file(GLOB sources CONFIGURE_DEPENDS apps/gale/*.c apps/gale/*/*.c)
list(FILTER sources EXCLUDE REGEX "/apps/gale/(serve|http)/")
if(sources)
  pkg_check_modules(EDIT REQUIRED IMPORTED_TARGET libedit)
  pkg_check_modules(CURL REQUIRED IMPORTED_TARGET libcurl)
  pkg_check_modules(CRYPTO REQUIRED IMPORTED_TARGET libcrypto)
  add_executable(gale ${sources})
  target_include_directories(gale PRIVATE apps)
  target_link_libraries(gale PRIVATE gale_serve gale_static gale_json PkgConfig::EDIT PkgConfig::CURL PkgConfig::CRYPTO PkgConfig::JANSSON)
endif()
