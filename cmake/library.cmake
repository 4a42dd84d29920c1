# libgale.so and libgale.a. Both show the functions of the headers of include/ and nothing else.

add_library(gale_shared SHARED ${objects})
set_target_properties(gale_shared PROPERTIES OUTPUT_NAME gale LINKER_LANGUAGE C
                      VERSION ${PROJECT_VERSION} SOVERSION ${PROJECT_VERSION_MAJOR})
target_include_directories(gale_shared PUBLIC include)
target_link_libraries(gale_shared PRIVATE gale_flags Threads::Threads m)

# An archive has no notion of hidden symbols, so all objects are first joined to one in which they are local.
set(archive ${CMAKE_BINARY_DIR}/libgale.a)
add_custom_command(OUTPUT ${archive}
  COMMAND ${CMAKE_LINKER} -r -o gale.o ${objects}
  COMMAND ${CMAKE_OBJCOPY} --localize-hidden gale.o
  COMMAND ${CMAKE_COMMAND} -E rm -f ${archive}
  COMMAND ${CMAKE_AR} rcs ${archive} gale.o
  DEPENDS ${objects}
  COMMENT "Joining libgale.a"
  COMMAND_EXPAND_LISTS VERBATIM)
add_custom_target(gale_archive ALL DEPENDS ${archive})
add_library(gale_static STATIC IMPORTED)
set_target_properties(gale_static PROPERTIES IMPORTED_LOCATION ${archive})
target_include_directories(gale_static INTERFACE include)
target_link_libraries(gale_static INTERFACE gale_flags Threads::Threads m)
add_dependencies(gale_static gale_archive)
