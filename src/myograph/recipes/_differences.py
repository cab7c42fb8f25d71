"""What each published system's recipe does differently from its paper, or fixes where the paper is silent, and why.

`myograph reproduce --docs` prints these rows on the page of the system. "not found" says that no source we could read
states it; "derived" says that it follows from figures that are stated.
"""

from __future__ import annotations

from myograph.evaluation.reproduction import Difference

ATZORI2016 = (
    Difference(
        "recordings",
        "DB1 (27 people, 53 classes), DB2 (40, 50), DB3 (11 amputees, 50)",
        "the people and exercises named on each table",
        "only these files were at hand; fewer classes make the task easier",
    ),
    Difference("input of the network", "150 ms x electrodes", "the same", "15 x 10 on DB1"),
    Difference(
        "step between windows",
        "not found (10 ms recalled; the rebuilt code has 50 ms)",
        "50 ms, and 10 ms in a separate row with a fifth of the epochs",
        "30 epochs of windows every 10 ms cost five times as much; the steps of the optimiser are as many",
    ),
    Difference(
        "padding and strides",
        "not stated",
        "as rebuilt by Tsinganos et al. 2018: zero padding, pools of stride 3",
        "84,853 parameters for 53 classes, as their poster gives (85 K)",
    ),
    Difference(
        "Delsys electrodes (DB2, DB3), and DB5's Myo armbands",
        "kernel 9 x 1 in block 4; shapes not found",
        "rectified, 1 Hz low-pass, resampled to 200 Hz: 30 x electrodes, mean over 3 positions at the end",
        "no padding rule gives one position from 300 samples",
    ),
    Difference(
        "low-pass",
        "1st order, 1 Hz, forwards and backwards",
        "the same, and a causal one in a separate row",
        "a filter that runs backwards sees the future and cannot be used live",
    ),
    Difference(
        "training",
        "SGD 0.9, rate 0.001, decay 0.0005, batch 256, 30 epochs",
        "the same",
        "decay on all parameters, as published",
    ),
    Difference(
        "initial weights",
        "not found (recalled: the best of several starts)",
        "the best of four starts on the last training repetition: two draws each of He's and of Glorot's distribution",
        "no tested repetition takes part; each start trains a third of the epochs, all four as long as the network once more",
    ),
    Difference(
        "noise copy",
        "one copy with white noise",
        "the same at 25 dB",
        "25 dB is Tsinganos et al.'s value",
    ),
    Difference(
        "scale of the input",
        "not found",
        "z-score per channel over the training windows",
        "the rebuilt code scales each window to [0, 1], which removes the amplitude",
    ),
    Difference(
        "rest",
        "a class; balancing not stated",
        "a class, with as many windows as the average gesture",
        "otherwise half of all windows would be rest",
    ),
    Difference(
        "split",
        "repetitions 2, 5, 7 (DB1) or 2, 5 test",
        "the same; DB5: 2, 5",
        "no repetition is on both sides",
    ),
    Difference(
        "SVM and kNN",
        "parameters cross-validated",
        "cross-validated by repetition on the training windows in separate rows; C = 10, 5 neighbours in the others",
        "the search takes 30 to 100 times as long",
    ),
    Difference(
        "feature sets",
        "RMS, TD, HIST, mDWT, all; details not found",
        "200 ms windows, HIST of 20 bins over ± 3 deviations, mDWT of Daubechies 7 at 3 levels",
        "as recalled from Atzori et al. 2014",
    ),
)

ZHAI2017 = (
    Difference(
        "recordings",
        "DB2 (40 people, 50 classes), DB3 (10 amputees, 10 movements)",
        "the sets named on each table: DB5, DB1, and sets of several days",
        "DB2 and DB3 were not at hand; DB5 has 16 electrodes at 200 Hz, DB1 10 rectified and smoothed ones at 100 Hz",
    ),
    Difference("windows", "200 ms every 100 ms", "the same", "50 ms steps on the 1.5 s trials of longterm_myo"),
    Difference(
        "spectrogram",
        "256-point FFT, Hamming, overlap 184, first 95 bins x 3 times",
        "the same durations at the recording's own rate",
        "at 200 Hz the highest frequency is 100 Hz, not 736 Hz",
    ),
    Difference("power", "not stated whether power, magnitude or dB", "linear power", "the word spectrogram"),
    Difference(
        "percentiles and components",
        "not stated on which data they are learnt",
        "on the first training windows, and frozen",
        "test windows may not be used",
    ),
    Difference(
        "image",
        "25 scores placed in a spiral, per channel",
        "the same places; on DB1 14 scores, and zero in the other places",
        "Fig. 1B; at 100 Hz a window gives 7 x 2 values per channel",
    ),
    Difference(
        "feature maps of the convolution",
        'not given ("same number of neurons in each layer")',
        "800; 32 in a small run",
        "our reading of the sentence",
    ),
    Difference(
        "optimiser",
        "gradient descent; rate, momentum, batch and epochs not found",
        "AdamW at 0.001 with a cosine, batches of 64, 30 epochs; 10 epochs per recalibration",
        "our choice; the 10 epochs were chosen on scores of simulated people",
    ),
    Difference(
        "which rest",
        "one class of 50, equal in number of trials; which trials not stated",
        "the rest that follows one chosen movement of each repetition",
        "as many trials as a movement has",
    ),
    Difference("recalibration", "± 10 windows, median for the CNN, mode for the SVM", "the same", "looks ahead"),
    Difference(
        "choice of ± 10 windows",
        "on the first ten people, who were also tested",
        "the paper's value, not chosen again",
        "it is part of the published method",
    ),
    Difference(
        "SVM",
        "C and gamma by 4-fold cross-validation",
        "the same with a grid of ours; C = 10 in a small run",
        "the published grid was not found",
    ),
)

DING2018 = (
    Difference(
        "recordings",
        "DB2 exercise B: 17 gestures, 12 electrodes at 2 kHz, 40 people",
        "the set named on the table",
        "DB2 was not at hand",
    ),
    Difference("windows", "100 ms (200 samples)", "the same; slower recordings are resampled to 2 kHz", "same kernels"),
    Difference("step between windows", "not found", "50 ms; 500 ms in a small run", "cost"),
    Difference(
        "split", "not found", "repetitions 2 and 5 test on DB2; the set's own usual split elsewhere", "NinaPro's"
    ),
    Difference("rest", "left out (17 outputs)", "left out where the set has it", "3DC counts no motion as a gesture"),
    Difference(
        "C-B1PB2",
        "kernels 1 x 13 and 1 x 57, 40 maps, 520 values before the classifier",
        "the same",
        "pools of stride 2 and no padding are derived: only they give 520",
    ),
    Difference(
        "heights of the last two kernels",
        "not found; they sum to 13 (derived)",
        "6 and 7",
        "every split has the same 940,417 parameters",
    ),
    Difference("activation", "not found", "ReLU", "usual"),
    Difference(
        "layers of the five variants",
        "not found; only their purpose is known",
        "our reading of their names",
        "a difference between two variants is therefore ours, not the paper's",
    ),
    Difference(
        "optimiser, rate, batch, epochs",
        "not found",
        "Adam at 0.001, a tenth after 30 of 50 epochs, batches of 128; small run: 7 epochs, batches of 16, cosine",
        "our choice, the same for all variants",
    ),
    Difference("scale of the input", "not found", "z-score per channel over the training windows", "our choice"),
    Difference(
        "statistics",
        "not found",
        "Wilcoxon over people, Holm over five comparisons, Friedman",
        "means alone do not tell a difference from chance",
    ),
)

MUSCLE_CNN_LSTM = (
    Difference(
        "recordings",
        "9 people, biceps and tibialis of both sides, 16 electrodes (4 x 4, about 5 mm), 1 kHz",
        "simulated people; 13 muscles of one walking leg; two recordings of one biceps",
        "the paper's recordings are not public",
    ),
    Difference("sample", "500 samples (0.5 s) of one channel of one burst", "the same", "500 x 1 in the figures"),
    Difference(
        "onset detector",
        "Teager-Kaiser energy and one threshold; its value not found",
        "mean + 7 deviations of the quietest 30 % (leg muscles: 10 %)",
        "a walking muscle rests less than 30 % of the time",
    ),
    Difference(
        "filters before the detector",
        "the amplifier's own band-pass",
        "none on simulated recordings and leg muscles, 20 Hz high-pass on the biceps",
        "the biceps recordings hold the amplifier's offset",
    ),
    Difference(
        "scale of the input",
        "the amplifier's normalisation; details not found",
        "one mean and one deviation, from the training samples",
        "amplitude still counts",
    ),
    Difference("dropout, slope of leaky ReLU", "not found", "0.2, 0.3", "0.3 is Keras's default"),
    Difference(
        "initial weights",
        "not found; the program is in Keras",
        "Keras's defaults",
        "the hybrid learns sooner with them",
    ),
    Difference(
        "training",
        "Adam at 0.001, batches of 1024, 200 epochs",
        "the same; leg muscles: batches of 16; small run: batches of 16, a cosine from 0.003, gradients clipped at 1, 40 "
        "epochs (6 with a subject left out), no dropout",
        "65 training samples would be one step per epoch; the small run's values were chosen on scores of other simulated "
        "people",
    ),
    Difference(
        "autoencoders",
        "two, trained one after the other; loss and epochs not found",
        "mean squared error, Adam at 0.001, 20 epochs; 0, 1, 5 and 20 as rows",
        "rows show what pretraining brings",
    ),
    Difference(
        "split within people",
        "80 / 20 % at random; that a burst's 16 channels stay together is derived from class totals",
        "the same, whole bursts; and the last 20 % of the bursts",
        "neighbouring bursts are alike",
    ),
    Difference(
        "epoch",
        "the best on the test samples",
        "the last; the best one in a LEAKY row",
        "scores of test samples that chose the epoch are too high",
    ),
)

HD_MOBILENET = (
    Difference(
        "recordings",
        "ICE Lab: one person, 192 electrodes at 2560 Hz; CSL-HDEMG",
        "flexemg: one person, 64 electrodes at 1 kHz; simulated grids",
        "the papers' sets were not at hand",
    ),
    Difference("sample", "one instant of the grid as an image (8 x 24)", "the same; flexemg 16 x 4", "0.39 ms or 1 ms"),
    Difference(
        "split",
        "single samples at random: LEAKY",
        "the same beside leaving one repetition out at a time (small run: two folds of repetitions, five on flexemg)",
        "three of four test samples have a neighbour 0.39 ms away in training",
    ),
    Difference(
        "k-fold",
        "single samples dealt to folds; fold=1 is a random half; other k never test the last part, and each fold continues "
        "with the network and optimiser of the fold before",
        "k > 1: whole repetitions dealt to folds, each tested once, a new network per fold",
        "neighbouring samples on both sides, and networks that have learnt from their test samples, are LEAKY",
    ),
    Difference(
        "epoch", "the best on the test samples", "the last", "scores of test samples that chose the epoch are too high"
    ),
    Difference(
        "model_width",
        '"expansion ratio"',
        "scales the expansion, 6 to 1; the numbers of feature maps stay",
        "as in the code; it does not change the width",
    ),
    Difference(
        "outputs",
        "7 gestures; the counted network has 8 outputs",
        "as many as there are gestures; sizes counted at 8",
        "only 8 give the published parameters",
    ),
    Difference(
        "normalisation",
        "each sample over its own electrodes; test.py scales a file by one mean and deviation",
        "each sample over its own electrodes, also in `hd test`",
        "a network is tested as it was trained; M5: none",
    ),
    Difference(
        "num_workers",
        "processes that load batches",
        "read and not needed by `hd train`",
        "the recordings are in memory",
    ),
    Difference(
        "model_save",
        "a folder; the file's name holds sizes and test accuracy",
        "the same, as mobilenet_v2.safetensors",
        "a name that holds a LEAKY score is not kept; a file that runs no code when it is opened",
    ),
    Difference(
        "training",
        "AdamW 3e-4, decay 3e-4, cosine, 5 epochs, batch 1000, label smoothing 0.1",
        "the same; small run: batches of 32, rate 0.004, 8 epochs",
        "few samples; chosen on the LEAKY score of seven simulated gestures",
    ),
    Difference(
        "multiply-accumulates",
        "18.303 M (width 1): a counter that adds 4 per value of a batch norm",
        "convolutions and linear layers alone: 17.01 M",
        "batch norms merge into convolutions",
    ),
    Difference(
        "CSL-HDEMG, network of Geng et al.",
        "first trained on the training trials of all people; batch norm from test samples; 10 of 30 idle trials",
        "trained per session; batch norm of training; all idle trials",
        "test samples may not be used",
    ),
    Difference(
        "dead rows of CSL-HDEMG", "kept by the authors' code", "dropped for 7 x 24, zeros for 8 x 24", "no data"
    ),
)

FIN2025 = (
    Difference(
        "recordings",
        "DB2 exercise B: people 1 to 25 seen, 26 to 40 new, 2 kHz",
        "the set and rate named on the table",
        "DB2 was not at hand",
    ),
    Difference("windows", "300 ms every 10 ms", "300 ms; a larger step in a small run", "cost"),
    Difference(
        "scaling",
        "z-score per time index, test windows by their own statistics",
        "per channel, by the person's training repetitions",
        "test data may not be used; live there are none",
    ),
    Difference(
        "R²",
        "mean over windows of 1 - error² / (value - mean)², negative values as 0",
        "1 - sum of squared errors / sum of squared deviations, per person; the published measure in a separate row",
        "the published number is not an R²",
    ),
    Difference(
        "epoch",
        "the best on the test windows, after a CNN chosen on them",
        "the best on repetition 4; the published choice in a LEAKY row",
        "scores of test windows that chose the epoch are too high",
    ),
    Difference(
        "share of the training windows",
        "drawn at random",
        "the first part of each repetition; a random share in a separate row",
        "windows overlap by 97 %: a random fifth holds nearly everything",
    ),
    Difference(
        "--prediction p",
        "moves labels alone, across movements",
        "moves the feature's window and the label, within a repetition",
        "the imitators shall learn future features",
    ),
    Difference(
        "people seen and new",
        "25 and 15, one division",
        "on other data sets, and of simulated people, each half is seen in turn",
        "so few people would leave two new ones",
    ),
    Difference(
        "epoch of the imitators", "the least train loss", "the last", "nothing is chosen, not even on train windows"
    ),
    Difference("dropout and batch norm at test", "left on", "off", "an error of the code"),
    Difference(
        "scale of the features",
        "fixed means and deviations",
        "learnt from the windows that imitators learn from",
        "the fixed numbers belong to recordings of DB2",
    ),
    Difference("CNN on true features", "noise on the copies of each feature", "copies without noise", "our choice"),
    Difference("order of features", "differs between the two steps", "one order", "harmless, because VAR equals SSI"),
    Difference("constants of VAR and SSI validation", "those of RMS", "each feature's own", "an error of the code"),
    Difference("VAR and SSI", "two networks", "the same", "one feature once standardised; kept, as published"),
)
