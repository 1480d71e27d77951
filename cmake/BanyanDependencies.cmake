# Every outside library, found once. All are linked statically or header-only.
find_package(Threads REQUIRED)
find_package(absl REQUIRED)
# Debian's package names the shared libraries; the archives lie beside them.
get_property(imported DIRECTORY PROPERTY IMPORTED_TARGETS)
foreach(target ${imported})
  if(target MATCHES "^absl::")
    get_target_property(location ${target} IMPORTED_LOCATION_NONE)
    if(location)
      string(REGEX REPLACE "\\.so.*$" ".a" archive ${location})
      set_target_properties(${target} PROPERTIES IMPORTED_LOCATION_NONE ${archive})
    endif()
  endif()
endforeach()
find_package(Boost 1.81 REQUIRED)
find_package(GTest QUIET)
find_library(BANYAN_BOOST_JSON libboost_json.a REQUIRED)

add_library(banyan_boost_json INTERFACE)
target_link_libraries(banyan_boost_json INTERFACE ${BANYAN_BOOST_JSON} Boost::headers)

# fmt and spdlog are used header-only, so that no shared library of theirs is needed.
add_library(banyan_fmt INTERFACE)
target_compile_definitions(banyan_fmt INTERFACE FMT_HEADER_ONLY=1 SPDLOG_FMT_EXTERNAL=1)

# TLS and hashes of downloads (weights/).
find_library(BANYAN_SSL libssl.a REQUIRED)
find_library(BANYAN_CRYPTO libcrypto.a REQUIRED)
add_library(banyan_openssl INTERFACE)
target_link_libraries(banyan_openssl INTERFACE ${BANYAN_SSL} ${BANYAN_CRYPTO} Threads::Threads ${CMAKE_DL_LIBS})
