# Compiler, linker and warning settings that every target shares.
find_program(CCACHE ccache)
if(CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  # It goes by the files that the compiler names, without a run of the preprocessor of its own.
  set(launcher ${CMAKE_COMMAND} -E env CCACHE_DEPEND=1)
  if(BANYAN_PRECOMPILED)  # ccache must then be told to go by content
    list(APPEND launcher CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime)
  endif()
  list(APPEND launcher ${CCACHE})
  set(CMAKE_C_COMPILER_LAUNCHER ${launcher})
  set(CMAKE_CXX_COMPILER_LAUNCHER ${launcher})
endif()
find_program(MOLD mold)
if(MOLD)
  add_link_options(-fuse-ld=mold)
endif()

# One binary that needs only libc, libm and the loader: the C++ run time is linked in.
add_link_options(-static-libstdc++ -static-libgcc)

add_compile_options(-Wall -Wextra -Wno-unused-parameter -Wno-missing-field-initializers
                    -fno-math-errno -ffp-contract=off)
if(CMAKE_CXX_COMPILER_ID STREQUAL GNU)  # what GCC 12 says falsely of inlined strings and optionals
  add_compile_options(-Wno-stringop-overflow -Wno-array-bounds -Wno-maybe-uninitialized -Wno-restrict)
endif()

if(BANYAN_PRECOMPILED AND CMAKE_CXX_COMPILER_ID STREQUAL GNU)
  add_compile_options($<$<COMPILE_LANGUAGE:CXX>:-fpch-preprocess>)
elseif(BANYAN_PRECOMPILED)
  add_compile_options("$<$<COMPILE_LANGUAGE:CXX>:SHELL:-Xclang -fno-pch-timestamp>")
endif()

if(BANYAN_FUZZ)
  add_compile_options(-fsanitize=fuzzer-no-link)
endif()
# For sources with coroutines: GCC 12 takes their frames' operators new and delete for a mismatched pair; clang 14 cannot emit UBSan's
# marks of functions for them.
set(BANYAN_COROUTINE_OPTIONS $<IF:$<CXX_COMPILER_ID:GNU>,-Wno-mismatched-new-delete,-fno-sanitize=function>)

if(BANYAN_SANITIZE)
  add_compile_options(-fsanitize=${BANYAN_SANITIZE} -fno-omit-frame-pointer -g1)
  add_link_options(-fsanitize=${BANYAN_SANITIZE})
  if(BANYAN_SANITIZE STREQUAL thread AND CMAKE_CXX_COMPILER_ID STREQUAL GNU)
    # Said once for each fence of a library's: thousands of lines, under which a real warning is lost.
    add_compile_options(-Wno-tsan)
  endif()
endif()
