# check_kernels checks and times the kernels of the CPU backend. It needs no library, so that it is easily built for
# another processor.

file(GLOB sources CONFIGURE_DEPENDS tests/kernels/*.c)
add_executable(check_kernels ${sources})
target_include_directories(check_kernels PRIVATE tests)
if("amx" IN_LIST isas)
  set_source_files_properties(tests/kernels/emulated_amx.c PROPERTIES COMPILE_OPTIONS "${isa_avx512}")
endif()
target_link_libraries(check_kernels PRIVATE gale_backend)

if(GALE_TESTS)
  include(cmake/gale_test.cmake)
  foreach(op linear attend rows)
    gale_test(kernels/${op} check_kernels --op ${op})
  endforeach()
  gale_test(kernels/emulated_amx check_kernels --op linear --emulate-amx --cases 200)
  set_tests_properties(kernels/emulated_amx${suffix} PROPERTIES SKIP_RETURN_CODE 77)
else()
  set_target_properties(check_kernels PROPERTIES EXCLUDE_FROM_ALL ON)
endif()
