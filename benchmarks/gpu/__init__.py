"""Checks and measurements on a GPU: `python -m benchmarks.gpu truth|tax|pack|table`.

    truth    checks that compiled networks are right on CUDA: a line for each check
    tax      times grouped convolutions and the networks made of them, beside their peers and their floors
    table    prints the Markdown of a result file
    pack     writes one archive for a machine that has torch and numpy only

`plan` lists the parts of a command. `supervise` runs them in `worker` processes, each within its time, and appends the
lines that they send to a `record`. A part sees a `run` and nothing else. torch is imported in workers only, so that a
broken CUDA context ends with its process. The package is used by its public names and by its command line (`command`).
"""
