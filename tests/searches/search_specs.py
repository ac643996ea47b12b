"""A space of the tests: 512 architectures of a small network, most of them within a budget."""

SOMETIMES = """network n {
    input image: 3x8x8
    param width = 8 in 4..64 step 4
    param act   = relu in {relu, silu, conv(8, 1x1)}
    param deep  = false in {false, true}
    param more  = 1 in 1..8 when deep
    param rate  = 0.1 in 0.01..1.0 log when deep
    param _lr   = 0.1 in 1e-3..1.0 log
    stem { conv(width, 3x3); act }
    stage a { conv(8, 1x1); if deep { repeat more { conv(8, 1x1); dropout(rate / 2) } } }
    head { avgpool(global); flatten; linear(10) }
}
"""
"""Dimensions that are there only under a choice, of every kind; one that no operator reads."""

SPACE = """network n {
    input image: 3x16x16
    param width  = 8 in 4..64 step 4
    param depths = [1, 1] in [1..4, 1..4]
    param act    = relu in {relu, silu}
    stem { conv(width, 3x3, stride=2); act }
    stage a repeat depths[0] { conv(width, 3x3); act }
    stage b repeat depths[1] { residual { conv(width, 1x1) } }
    head { avgpool(global); flatten; linear(10) }
    budget small { flops <= 20M }
    budget none { flops <= 1K }
}
"""
