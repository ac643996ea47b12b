"""A space of the tests: 512 architectures of a small network, most of them within a budget."""

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
