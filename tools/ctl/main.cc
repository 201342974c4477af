#include "tools/ctl/commands.h"

int main(int argc, char** argv) {
  const signet::SystemClock clock;
  return signet::ctl::RunCli(argc, argv, clock);
}
