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

# fmt's headers; its compiled half is src/base/fmt_instances.cc. spdlog is header-only, in src/base/log.cc alone.
add_library(banyan_fmt INTERFACE)
target_compile_definitions(banyan_fmt INTERFACE SPDLOG_FMT_EXTERNAL=1)

# TLS and hashes of downloads (weights/).
find_library(BANYAN_SSL libssl.a REQUIRED)
find_library(BANYAN_CRYPTO libcrypto.a REQUIRED)
add_library(banyan_openssl INTERFACE)
target_link_libraries(banyan_openssl INTERFACE ${BANYAN_SSL} ${BANYAN_CRYPTO} Threads::Threads ${CMAKE_DL_LIBS})

# HTTP. The compiled half is src/base/beast_instances.cc.
add_library(banyan_beast INTERFACE)
target_compile_definitions(banyan_beast INTERFACE BOOST_ASIO_SEPARATE_COMPILATION=1 BOOST_BEAST_SEPARATE_COMPILATION=1)
target_link_libraries(banyan_beast INTERFACE Boost::headers banyan_openssl)
