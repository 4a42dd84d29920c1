include(cmake/gale_test.cmake)
pkg_check_modules(CMOCKA REQUIRED IMPORTED_TARGET cmocka)
find_package(Python3 REQUIRED COMPONENTS Interpreter)

# tests/LAYER/test_x.c is linked with its layer and those below it; from the engine on, with all: these tests write the
# models that they open. Those of the tokenizer have cases of whole conversations among theirs.
foreach(layer IN LISTS layers)
  set(linked gale_${layer})
  if(layer MATCHES "^(engine|measure|convert)$")
    set(linked gale_measure gale_convert)
  elseif(layer STREQUAL "schedule")
    set(linked gale_schedule gale_convert)
  elseif(layer STREQUAL "tokenizer")
    set(linked gale_chat)
  endif()
  file(GLOB tests CONFIGURE_DEPENDS tests/${layer}/test_*.c)
  foreach(test IN LISTS tests)
    get_filename_component(name ${test} NAME_WE)
    add_executable(${name} ${test})
    target_include_directories(${name} PRIVATE tests)
    target_compile_definitions(${name} PRIVATE TEST_DATA="${CMAKE_SOURCE_DIR}/tests/data")
    target_link_libraries(${name} PRIVATE ${linked} PkgConfig::CMOCKA PkgConfig::JANSSON)
    gale_test(${layer}/${name} ${name})
  endforeach()
endforeach()

# In these some calls go through functions of their own, which can fail.
set(wrapped malloc calloc realloc strdup strndup posix_memalign mmap munmap pread pwrite)
list(TRANSFORM wrapped PREPEND "-Wl,--wrap=")
target_link_options(test_failures PRIVATE ${wrapped})
set(wrapped pread pwrite rename fallocate mkostemp utimensat flock)
list(TRANSFORM wrapped PREPEND "-Wl,--wrap=")
target_link_options(test_disk_failures PRIVATE ${wrapped})
set(wrapped malloc calloc realloc strdup posix_memalign)
list(TRANSFORM wrapped PREPEND "-Wl,--wrap=")
target_link_options(test_engine_failures PRIVATE ${wrapped})
target_link_options(test_engine_same PRIVATE -Wl,--wrap=gale_step)

# tests/cli/test_x.py finds the path of the gale command in the environment, as GALE.
if(TARGET gale)
  file(GLOB tests CONFIGURE_DEPENDS tests/cli/test_*.py)
  foreach(test IN LISTS tests)
    get_filename_component(name ${test} NAME_WE)
    gale_test(cli/${name} ${CMAKE_COMMAND} -E env GALE=$<TARGET_FILE:gale> ${Python3_EXECUTABLE} ${test})
  endforeach()
  gale_test(web/served ${CMAKE_COMMAND} -E env GALE=$<TARGET_FILE:gale> ${Python3_EXECUTABLE}
            ${CMAKE_SOURCE_DIR}/tests/web/test_served.py)
endif()

# examples/x.c knows gale.h and libgale.so only. One that ends with 2 wants arguments and counts as skipped.
file(GLOB examples CONFIGURE_DEPENDS examples/*.c)
foreach(example IN LISTS examples)
  get_filename_component(name ${example} NAME_WE)
  add_executable(example_${name} ${example})
  target_link_libraries(example_${name} PRIVATE gale_flags gale_shared)
  gale_test(examples/${name} example_${name})
  set_tests_properties(examples/${name}${suffix} PROPERTIES SKIP_RETURN_CODE 2)
endforeach()

# A program that was compiled with the headers of an earlier version runs with the library of this one.
add_executable(abi_program tests/abi/program.c)
target_compile_options(abi_program PRIVATE -Wall -Wextra)
target_include_directories(abi_program PRIVATE tests/abi/first)
target_link_libraries(abi_program PRIVATE $<TARGET_LINKER_FILE:gale_shared>)
add_dependencies(abi_program gale_shared)
set_target_properties(abi_program PROPERTIES BUILD_RPATH $<TARGET_FILE_DIR:gale_shared>)
if(GALE_SANITIZE)
  target_link_options(abi_program PRIVATE -fsanitize=${GALE_SANITIZE})
endif()
gale_test(abi/first abi_program)

# fuzz/fuzz_x.c has a corpus in fuzz/corpus/x/, which a test replays: with libFuzzer's main where that is asked
# for, else with our own.
file(GLOB fuzzers CONFIGURE_DEPENDS fuzz/fuzz_*.c)
add_custom_target(fuzzers)
foreach(fuzzer IN LISTS fuzzers)
  get_filename_component(name ${fuzzer} NAME_WE)
  add_executable(${name} ${fuzzer})
  target_link_libraries(${name} PRIVATE gale_engine)
  if(GALE_FUZZ)
    target_link_options(${name} PRIVATE -fsanitize=fuzzer)
  else()
    target_sources(${name} PRIVATE fuzz/replay.c)
  endif()
  add_dependencies(fuzzers ${name})
  string(REPLACE fuzz_ "" corpus ${name})
  gale_test(fuzz/${corpus} ${name} -runs=0 ${CMAKE_SOURCE_DIR}/fuzz/corpus/${corpus})
endforeach()

# jansson is what gale's reader of JSON is compared with.
target_link_libraries(fuzz_json PRIVATE PkgConfig::JANSSON)

target_link_libraries(fuzz_http PRIVATE gale_http)

# The chat of the gale command, as far as it needs no terminal.
target_sources(fuzz_chat PRIVATE apps/gale/chat/conversation.c apps/gale/chat/typed.c)
target_include_directories(fuzz_chat PRIVATE apps)
target_link_libraries(fuzz_chat PRIVATE PkgConfig::JANSSON)

# The server's endpoints, without HTTP and the engine.
if(NOT TARGET gale_serve)
  include(cmake/serve.cmake)
endif()
target_link_libraries(fuzz_serve_request PRIVATE gale_serve)

# tests/project/ looks at the sources and at what is installed; once is enough.
if(NOT GALE_SANITIZE)
  set(project ${CMAKE_SOURCE_DIR}/tests/project)
  set(tools ${CMAKE_SOURCE_DIR}/tools)
  gale_test(project/layers ${Python3_EXECUTABLE} ${tools}/check_layers.py)
  gale_test(project/layers_are_checked ${Python3_EXECUTABLE} ${project}/test_check_layers.py)
  gale_test(project/header sh ${project}/test_header.sh ${CMAKE_SOURCE_DIR}/include)
  gale_test(project/symbols sh ${tools}/check_symbols.sh ${CMAKE_SOURCE_DIR}/include
            $<TARGET_FILE:gale_shared> ${archive})
  gale_test(web/files ${Python3_EXECUTABLE} ${CMAKE_SOURCE_DIR}/tests/web/test_files.py)
  gale_test(web/browser ${Python3_EXECUTABLE} ${CMAKE_SOURCE_DIR}/tests/web/test_web.py)
  set_tests_properties(web/browser PROPERTIES SKIP_RETURN_CODE 77)
  gale_test(project/install sh ${project}/test_install.sh ${CMAKE_BINARY_DIR})
endif()
