"""LightningDataModules. A new dataset is a file here and a line in this table."""

DATA = {
    "Digits": (".data.digits.Digits", "1,797 handwritten digits of 8x8, shipped with the package"),
    "MNIST": (".data.vision.MNIST", "70,000 handwritten digits, 28x28"),
    "FashionMNIST": (".data.vision.FashionMNIST", "70,000 pieces of clothing, 28x28, 10 classes"),
    "CIFAR10": (".data.vision.CIFAR10", "60,000 photos of 32x32, 10 classes"),
    "ImageFolder": (".data.folders.ImageFolder", "a folder of images for each class"),
    "CSVImages": (".data.listed.CSVImages", "a folder of images and a CSV of file name and label"),
    "MaskFolder": (".data.masks.MaskFolder", "a folder of images and a folder of masks"),
    "DigitMasks": (
        ".data.masks.DigitMasks",
        "handwritten digits in clutter, and which pixels are theirs",
    ),
    "CSVTable": (".data.table.CSVTable", "a table: classification or regression of one column"),
}

AUGMENTS = {
    "Crop": (".data.augment.Crop", "shift by a random crop of the padded image"),
    "Flip": (".data.augment.Flip", "mirror left and right, half the images"),
    "Affine": (".data.augment.Affine", "rotate, shift, scale and shear a little"),
    "Cutout": (".data.augment.Cutout", "blank a square"),
    "Mixup": (".data.augment.Mixup", "blend pairs of images and their classes"),
    "ColorJitter": (".data.strong.ColorJitter", "brightness, contrast, saturation, hue"),
    "TrivialAugmentWide": (
        ".data.strong.TrivialAugmentWide",
        "one of fourteen changes at a strength of chance",
    ),
    "RandomErasing": (".data.strong.RandomErasing", "blank a rectangle of chance"),
    "CutMix": (".data.augment.CutMix", "paste a box of another image, and share the classes"),
}
