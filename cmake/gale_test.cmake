# Tests are named LAYER/test_x; those of a sanitized build get its sanitizers as a suffix and those of a cross build its
# processor, so that several builds can be told apart in one run of ctest.

if(GALE_SANITIZE)
  set(suffix "+${GALE_SANITIZE}")
elseif(CMAKE_CROSSCOMPILING)
  set(suffix "+${CMAKE_SYSTEM_PROCESSOR}")
endif()

function(gale_test name)
  add_test(NAME ${name}${suffix} COMMAND ${ARGN})
  # A size that a file pretends to need must give an error, and not end the program.
  set_tests_properties(${name}${suffix} PROPERTIES TIMEOUT 600
    ENVIRONMENT "ASAN_OPTIONS=allocator_may_return_null=1;TSAN_OPTIONS=allocator_may_return_null=1;UBSAN_OPTIONS=print_stacktrace=1")
endfunction()
