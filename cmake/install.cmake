# What `make install` puts where, below PREFIX.

install(FILES include/gale.h include/gale_constraint.h include/gale_engine.h include/gale_tools.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(TARGETS gale_shared LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(FILES ${archive} DESTINATION ${CMAKE_INSTALL_LIBDIR})

# The prefix is stated relative to the file, so that an installed tree can be moved.
file(RELATIVE_PATH pc_to_prefix ${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig ${CMAKE_INSTALL_PREFIX})
string(REGEX REPLACE "/$" "" pc_to_prefix ${pc_to_prefix})
configure_file(cmake/gale.pc.in gale.pc @ONLY)
install(FILES ${CMAKE_BINARY_DIR}/gale.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)

if(TARGET gale)
  install(TARGETS gale RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
  install(FILES apps/gale/man/gale.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1 OPTIONAL)
  set(completions apps/gale/completions)
  install(FILES ${completions}/gale.bash DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions
          RENAME gale OPTIONAL)
  install(FILES ${completions}/_gale DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/site-functions OPTIONAL)
  install(FILES ${completions}/gale.fish DESTINATION ${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d OPTIONAL)
endif()
