// atom build: a program for one model, for whoever has a compiler and no wish to write CMake. The compiler's arguments come from
// the file build.args that this project's own build wrote, so headers, libraries and flags are those atom was built with.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <iterator>
#include <sstream>
#include <unistd.h>

#include "atom/core/error.hpp"
#include "atom/engine/config.hpp"
#include "atom/engine/loader.hpp"

#include "build_source.hpp"
#include "common.hpp"
#include "process.hpp"

namespace atom::tools {

namespace {

namespace fs = std::filesystem;
using Arguments = std::vector<std::string>;

// One argument per line; {here} is the folder that holds the file.
Arguments compiler_arguments() {
  const fs::path here = program_folder();
  for (const fs::path& file : {here / "build.args", here / "../share/atom/build.args"}) {
    if (!fs::exists(file)) continue;
    constexpr std::string_view hole = "{here}";
    const std::string folder = fs::canonical(file).parent_path().string();
    Arguments arguments;
    std::istringstream lines(read_text(file.string()));
    for (std::string line; std::getline(lines, line);) {
      if (const auto at = line.find(hole); at != std::string::npos) line.replace(at, hole.size(), folder);
      if (!line.empty()) arguments.push_back(line);
    }
    return arguments;
  }
  throw Error(here.string() +
              ": no build.args beside this program or in ../share/atom; use an installed `atom` or the one of a build tree");
}

// $CXX: a program, or a program and its first arguments ("ccache g++").
Arguments compiler(std::string& missing) {
  const char* variable = std::getenv("CXX");
  if (const std::string cxx = variable ? variable : ""; !cxx.empty()) {
    Arguments words{cxx};
    if (find_program(cxx).empty()) {
      std::istringstream split(cxx);
      words.assign(std::istream_iterator<std::string>(split), {});
    }
    if (!words.empty()) words[0] = find_program(words[0]);
    if (words.empty() || words[0].empty()) missing += "\n  the compiler that CXX names, " + cxx + ": not found, or no program";
    return words;
  }
  for (const char* name : {"g++", "clang++", "c++"})
    if (std::string path = find_program(name); !path.empty()) return {path};
  missing += "\n  a C++20 compiler: no g++ or clang++ on PATH, and CXX is not set (Debian: g++)";
  return {};
}

std::string package_of(const std::string& library) {
  if (library == "pcre2-8") return "libpcre2-dev";
  return "lib" + library + "-dev";
}

// What the command line needs and this machine lacks, a line each; empty: nothing.
std::string missing_parts(const Arguments& compiler, const Arguments& arguments) {
  std::string missing;
  const auto with = [&](Arguments more) {
    more.insert(more.begin(), compiler.begin(), compiler.end());
    return run_process(more);
  };
  for (const auto& a : arguments) {
    if (a.starts_with("-I") && !fs::is_directory(a.substr(2))) missing += "\n  the headers in " + a.substr(2);
    if (a.ends_with(".a") && !fs::exists(a)) missing += "\n  the library " + a;
    if (!a.starts_with("-l")) continue;
    const std::string name = a.substr(2);
    bool found = false;
    for (const char* suffix : {".so", ".a"})  // the compiler answers with a path, or repeats the question
      found |= with({"-print-file-name=lib" + name + suffix}).output.find('/') != std::string::npos;
    if (!found) missing += "\n  the library lib" + name + " (Debian: " + package_of(name) + ")";
  }
  Arguments probe{"-E", "-x", "c++", "-include", "boost/hana/config.hpp", "/dev/null", "-o", "/dev/null"};
  for (const auto& a : arguments)
    if (a.starts_with("-I")) probe.push_back(a);
  if (with(probe).status != 0) missing += "\n  the headers of Boost (Debian: libboost-dev)";
  return missing;
}

fs::path cache_folder() {
  const char *xdg = std::getenv("XDG_CACHE_HOME"), *home = std::getenv("HOME");
  if (xdg && *xdg == '/') return fs::path(xdg) / "atom";
  if (home && *home == '/') return fs::path(home) / ".cache/atom";
  throw Error("atom build: neither XDG_CACHE_HOME nor HOME names a folder to work in; set one");
}

// The file as it is now: another size or time is another file.
std::string stamp(const std::string& path) {
  std::error_code ignored;
  return path + " " + std::to_string(fs::file_size(path, ignored)) + " " +
         std::to_string(fs::last_write_time(path, ignored).time_since_epoch().count()) + "\n";
}

// Everything the binary depends on. Headers stand for themselves by the libraries that were made from them.
std::string cache_key(const Arguments& compiler, const Arguments& arguments, const std::string& header) {
  std::string key = "atom " ATOM_VERSION "\n";
  key += stamp(compiler[0]);
  for (const auto& a : compiler) key += a + "\n";
  for (const auto& a : arguments) key += a.ends_with(".a") ? stamp(a) : a + "\n";
  return key + header;
}

std::string hash_name(std::string_view text) {  // FNV-1a; the key's text is compared as well
  std::uint64_t h = 0xcbf29ce484222325;
  for (char c : text) h = (h ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  char name[17];
  std::snprintf(name, sizeof name, "%016llx", static_cast<unsigned long long>(h));
  return name;
}

// A folder of our own in the cache, gone with its owner unless it was renamed.
struct Stage {
  fs::path path;
  explicit Stage(const fs::path& cache) {
    fs::create_directories(cache);
    std::string name = (cache / "stage-XXXXXX").string();
    if (!mkdtemp(name.data())) throw Error(cache.string() + ": cannot be written; set XDG_CACHE_HOME to a folder that can");
    path = name;
  }
  Stage(const Stage&) = delete;
  Stage& operator=(const Stage&) = delete;
  ~Stage() {
    std::error_code ignored;
    fs::remove_all(path, ignored);
  }
};

void compile(const fs::path& stage, Arguments command, const Arguments& arguments, const BuildChoice& choice,
             const std::string& header) {
  fs::create_directory(stage / "builds");
  write_text((stage / "builds" / (choice.name + ".hpp")).string(), header);
  write_text((stage / "main.cpp").string(), build_main(choice.name));
  for (const auto& part :
       {std::string("-I") + stage.string(), (stage / "main.cpp").string(), std::string("-o"), (stage / "program").string()})
    command.push_back(part);
  command.insert(command.end(), arguments.begin(), arguments.end());
  const auto result = run_process(command);
  if (result.status == 0) return;
  std::fputs(result.output.c_str(), stderr);
  std::istringstream lines(result.output);
  std::string line, first = "see its messages above";
  while (std::getline(lines, line))
    if (line.find("error: ") != std::string::npos) {
      first = line;
      break;
    }
  throw Error(command[0] + ": refused the generated program: " + first);
}

// Whole or not at all, whoever else writes there.
void copy_program(const fs::path& from, const fs::path& to) {
  const fs::path part = to.string() + ".part" + std::to_string(getpid());
  std::error_code failed;
  fs::copy_file(from, part, fs::copy_options::overwrite_existing, failed);
  if (!failed) fs::rename(part, to, failed);
  if (!failed) return;
  std::error_code ignored;
  fs::remove(part, ignored);
  throw Error(to.string() + ": cannot be written: " + failed.message() + "; choose another --output");
}

std::string name_of_model(const std::string& dir) {
  std::string name = fs::canonical(dir).filename().string();
  for (char& c : name)
    if (!std::isalnum(static_cast<unsigned char>(c)) || static_cast<signed char>(c) < 0) c = '_';
  return "model_" + name;
}

// Of the weights where there are any: a config.json alone is enough to build, too.
DType weights_type(const std::string& dir, DType otherwise) {
  for (const auto& entry : fs::directory_iterator(dir)) {
    if (entry.path().extension() != ".safetensors") continue;
    const engine::Checkpoint checkpoint(dir);
    const auto* table = checkpoint.find("model.embed_tokens.weight");
    return table ? table->dtype : otherwise;
  }
  return otherwise;
}

}  // namespace

int build(const BuildOptions& o) {
  if (o.model.empty()) throw Error("--model: no model given, and the demo model is not beside this program");
  const auto config = engine::read_config(o.model);
  const BuildChoice choice{name_of_model(o.model),
                           o.backend,
                           o.quant,
                           o.activation,
                           o.kv,
                           weights_type(o.model, config.dtype),
                           o.tensor_parallel_size,
                           o.enable_expert_parallel ? o.tensor_parallel_size : 1};
  const std::string header = build_header(choice, config.spec);

  const Arguments arguments = compiler_arguments();
  std::string missing;
  const Arguments command = compiler(missing);
  if (missing.empty()) missing = missing_parts(command, arguments);
  if (!missing.empty()) throw Error("atom build: this machine lacks" + missing);

  const std::string key = cache_key(command, arguments, header);
  const fs::path cache = cache_folder(), entry = cache / hash_name(key);
  const auto cached = [&] { return fs::exists(entry / "key") && read_text((entry / "key").string()) == key; };
  if (!cached()) {
    std::fprintf(stderr, "compiling with %s, once; it is kept in %s\n", command[0].c_str(), entry.c_str());
    const Stage stage(cache);
    compile(stage.path, command, arguments, choice, header);
    write_text((stage.path / "key").string(), key);
    std::error_code another;  // somebody was faster, with the same key; or an entry of another key goes
    fs::rename(stage.path, entry, another);
    if (another && !cached()) {
      fs::remove_all(entry);
      fs::rename(stage.path, entry);
    }
  }
  copy_program(entry / "program", o.output);
  std::fprintf(stderr, "%s: every subcommand of atom, for %s\n", o.output.c_str(), o.model.c_str());
  return 0;
}

}  // namespace atom::tools
