# The files of the web page (apps/gale/serve/web) as a table: apps/gale/serve/web_files.h. The assembler
# takes their bytes in.

set(web ${CMAKE_SOURCE_DIR}/apps/gale/serve/web)
file(GLOB_RECURSE files CONFIGURE_DEPENDS RELATIVE ${web} ${web}/*)
set(type_html "text/html; charset=utf-8")
set(type_js "text/javascript; charset=utf-8")
set(type_css "text/css; charset=utf-8")
set(type_svg "image/svg+xml")
set(type_json "application/json")
set(type_ "text/plain; charset=utf-8")

set(bytes "")
set(rows "")
set(index 0)
foreach(file IN LISTS files)
  get_filename_component(extension ${file} LAST_EXT)
  string(REPLACE "." "" extension "${extension}")
  if(NOT DEFINED type_${extension})
    message(FATAL_ERROR "${file}: cmake/web.cmake has no media type for this kind of file")
  endif()
  file(SHA256 ${web}/${file} sum)
  string(SUBSTRING ${sum} 0 32 sum)
  string(APPEND bytes "BYTES(web_file_${index}, \"${web}/${file}\")\n")
  string(APPEND rows "    {\"${file}\", \"${type_${extension}}\", \"\\\"${sum}\\\"\", web_file_${index}, web_file_${index}_end},\n")
  math(EXPR index "${index} + 1")
endforeach()

set(source ${CMAKE_BINARY_DIR}/web_files.c)
file(CONFIGURE OUTPUT ${source} @ONLY CONTENT [[/* Made by cmake/web.cmake. */
#include "gale/serve/web_files.h"

#define BYTES(name, file)                                                                            \
  __asm__(".pushsection .rodata\n.global " #name ", " #name "_end\n.hidden " #name ", " #name "_end\n" #name \
          ":\n.incbin \"" file "\"\n" #name "_end:\n.byte 0\n.popsection");                          \
  extern const char name[], name##_end[];

@bytes@
const web_file web_files[] = {
@rows@    {0},
};
]])
list(TRANSFORM files PREPEND ${web}/)
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${files})
set_source_files_properties(${source} PROPERTIES OBJECT_DEPENDS "${files}")
target_sources(gale_serve PRIVATE ${source})
