# check_kernels checks and times the kernels of the CPU backend. It needs no library, so that it is easily built for
# another processor.

file(GLOB sources CONFIGURE_DEPENDS tests/kernels/*.c)
add_executable(check_kernels ${sources})
target_include_directories(check_kernels PRIVATE tests)
target_link_libraries(check_kernels PRIVATE gale_backend)

if(GALE_TESTS)
  include(cmake/gale_test.cmake)
  foreach(op linear attend rows)
    gale_test(kernels/${op} check_kernels --op ${op})
  endforeach()
else()
  set_target_properties(check_kernels PROPERTIES EXCLUDE_FROM_ALL ON)
endif()
