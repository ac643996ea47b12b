"""The parts of `tax`: times of grouped convolutions and of networks made of them."""
