// Checks that the docs quote real code. A fenced block that opens with ```<language> <file> must occur in that file verbatim.
//   atom_quotes <repository> <page.md>...
#include <cstdio>
#include <fstream>
#include <iterator>
#include <string>

namespace {

std::string read(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) std::fprintf(stderr, "%s: cannot be read\n", path.c_str());
  return {std::istreambuf_iterator<char>(in), {}};
}

}  // namespace

int main(int argc, char** argv) {
  int wrong = 0, checked = 0;
  for (int i = 2; i < argc; ++i) {
    std::ifstream page(argv[i]);
    std::string line, file, block;
    bool inside = false;
    for (int number = 1; std::getline(page, line); ++number) {
      if (!line.starts_with("```")) {
        if (inside) block += line + "\n";
        continue;
      }
      if (inside && !file.empty()) {
        ++checked;
        if (read(std::string(argv[1]) + "/" + file).find(block) == std::string::npos) {
          std::fprintf(stderr, "%s:%d: the block above is not in %s\n", argv[i], number, file.c_str());
          ++wrong;
        }
      }
      const auto space = line.find(' ');
      inside = !inside;
      file = inside && space != std::string::npos ? line.substr(space + 1) : "";
      block.clear();
    }
  }
  std::printf("%d quotes checked, %d wrong\n", checked, wrong);
  return wrong || checked == 0;
}
