"""The simulated people whose figures the pages print."""

REPORT_SEEDS = (101, 102, 103, 104, 105)
"""Seeds of the simulator, one person of each. Nothing was chosen on these people: programs are written, and their
settings are chosen, on people of seeds below 100."""
