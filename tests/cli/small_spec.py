"""A spec of the tests: a small network with a parameter and a budget."""

SMALL = """\
network small {
    input image: 3x8x8
    param width = 4 in 1..64
    stem { conv(width, 3x3); bn; relu }
    head { avgpool(global); flatten; linear(2) }
    budget { params <= 150 }
}
"""
