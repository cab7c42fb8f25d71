"""BIDS-EMG: the side files of a recording, its electrodes, and the export of a data set."""
