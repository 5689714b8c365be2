#pragma once
// The interactive side of `atom run`: lines from a terminal to a Dialogue, and the commands that begin with a slash.
namespace atom::tools {

class Dialogue;

/// Until the user leaves. history: keep the lines in the user's state folder.
void repl(Dialogue& dialogue, bool history);

}  // namespace atom::tools
