# How a Tessera folder becomes a target: one library per folder, one test binary per folder of tests.

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)

add_library(tessera_flags INTERFACE)
target_include_directories(tessera_flags INTERFACE ${CMAKE_SOURCE_DIR})
# -ffp-contract=off: a*b+c is fused only where the source says fma, so that every ISA and compiler gives the same bits.
target_compile_options(tessera_flags INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wnon-virtual-dtor -Woverloaded-virtual -Wno-missing-field-initializers -Werror
  -ffp-contract=off)

# tessera_library(NAME SOURCES a.cpp ... DEPENDS base spec ... LIBRARIES fmt::fmt ...)
# DEPENDS names folders of rows below; LIBRARIES are third-party targets.
function(tessera_library name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPENDS;LIBRARIES" ${ARGN})
  add_library(tessera_${name} STATIC ${ARG_SOURCES})
  add_library(tessera::${name} ALIAS tessera_${name})
  list(TRANSFORM ARG_DEPENDS PREPEND tessera::)
  target_link_libraries(tessera_${name} PUBLIC tessera_flags ${ARG_DEPENDS} ${ARG_LIBRARIES})
endfunction()

# tessera_isa_sources(NAME ISA SOURCES a.cpp ...): adds sources compiled for one instruction set.
function(tessera_isa_sources name isa)
  cmake_parse_arguments(ARG "" "" "SOURCES" ${ARGN})
  set(flags_avx2 -mavx2 -mfma -mf16c -mbmi2)
  set(flags_avx512 -mavx512f -mavx512bw -mavx512dq -mavx512vl -mavx512cd -mavx512vbmi -mavx512vnni -mavx512bf16 -mavx2 -mfma -mf16c -mbmi2)
  target_sources(tessera_${name} PRIVATE ${ARG_SOURCES})
  set_source_files_properties(${ARG_SOURCES} PROPERTIES COMPILE_OPTIONS "${flags_${isa}}")
endfunction()

# tessera_discover_tests(TARGET PREFIX avx2/ LABELS golden ... ENVIRONMENT TESSERA_ISA=avx2): registers a test binary's
# tests with CTest, under PREFIX, all with these labels and this environment.
# CMake 3.25 flattens a list among gtest_discover_tests' own PROPERTIES, so that only the first label and nothing after it
# would be set: properties are set here, once the tests are known.
function(tessera_discover_tests target)
  cmake_parse_arguments(ARG "" "PREFIX;ENVIRONMENT" "LABELS" ${ARGN})
  string(MAKE_C_IDENTIFIER "${target}_${ARG_PREFIX}" list_name)
  # Golden tests are named after the data folders found when they run, which may be others than at build time.
  set(discovery POST_BUILD)
  if(golden IN_LIST ARG_LABELS)
    set(discovery PRE_TEST)
  endif()
  gtest_discover_tests(${target} DISCOVERY_MODE ${discovery} DISCOVERY_TIMEOUT 120 TEST_PREFIX "${ARG_PREFIX}" TEST_LIST ${list_name})
  set(properties_file ${CMAKE_CURRENT_BINARY_DIR}/${list_name}_properties.cmake)
  file(CONFIGURE OUTPUT ${properties_file} @ONLY CONTENT [[
foreach(test IN LISTS @list_name@)
  set_tests_properties("${test}" PROPERTIES LABELS "@ARG_LABELS@" ENVIRONMENT "@ARG_ENVIRONMENT@" TIMEOUT 1200)
endforeach()
]])
  set_property(DIRECTORY APPEND PROPERTY TEST_INCLUDE_FILES ${properties_file})
endfunction()

# tessera_test(FOLDER SOURCES a_test.cpp ... DEPENDS numerics ... LABELS golden ...)
function(tessera_test folder)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPENDS;LIBRARIES;LABELS" ${ARGN})
  string(REPLACE "/" "_" target ${folder})
  add_executable(${target}_test ${ARG_SOURCES})
  list(TRANSFORM ARG_DEPENDS PREPEND tessera::)
  target_link_libraries(${target}_test PRIVATE tessera_flags ${ARG_DEPENDS} ${ARG_LIBRARIES} GTest::gtest GTest::gmock GTest::gtest_main)
  target_compile_definitions(${target}_test PRIVATE TESSERA_SOURCE_DIR="${CMAKE_SOURCE_DIR}")
  tessera_discover_tests(${target}_test LABELS ${folder} ${ARG_LABELS})
endfunction()
