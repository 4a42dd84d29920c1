# The server's endpoints (apps/gale/serve), over the headers of include/ and the strict reader of JSON. What they need of
# HTTP and of the command line comes with the command; tests and fuzz targets bring their own.

file(GLOB sources CONFIGURE_DEPENDS apps/gale/serve/*.c)
add_library(gale_serve STATIC ${sources})
target_include_directories(gale_serve PUBLIC apps)
target_link_libraries(gale_serve PUBLIC gale_flags gale_json gale_http)
include(cmake/web.cmake)
