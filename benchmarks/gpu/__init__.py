"""Checks and measurements on a GPU: `python -m benchmarks.gpu truth|tax|pack|table`.

    truth    checks that compiled networks are right on CUDA: a line for each check
    tax      times grouped convolutions and the networks made of them, beside their peers and their floors
    table    prints the Markdown of a result file
    pack     writes one archive for a machine that has torch and numpy only

`plan` lists the parts of a command. `supervise` runs them in `worker` processes, each within its time, and appends the
lines that they send to a `record`. A part sees a `run` and nothing else. A `fork_server` imports torch and starts the
workers and their commands. Each of them makes its own CUDA context, so that a broken context ends with its process. The
package is used by its public names, by its command line (`command`), and by its table of memory formats. `libraries`
holds the modules of torchvision and timm.
"""
