"""BIDS-EMG: the side files of a recording, where its electrodes are, and the export of a data set."""
