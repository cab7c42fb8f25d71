"""The simulated people whose figures the pages print."""

REPORT_SEED = 101  # of the simulator; nothing was chosen on these people
