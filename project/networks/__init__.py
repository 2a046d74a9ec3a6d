"""Plain torch networks. A new network is a file here and a line in this table."""

NETWORKS = {
    "LeNet": (
        ".networks.lenet.LeNet",
        "LeNet-5: two convolutions, three linear layers, 61,706 parameters",
    ),
    "MLP": (".networks.mlp.MLP", "linear layers; embeds the categorical columns of tables"),
    "TabM": (
        ".networks.tabm.TabM",
        "for tables: many MLPs that share their weights, and numbers by their quantiles",
    ),
    "CNN": (".networks.cnn.CNN", "convolution blocks with pooling, with or without batch norm"),
    "AlexNet": (
        ".networks.alexnet.AlexNet",
        "AlexNet for images of 224, and a form for small images",
    ),
    "ResNet": (".networks.resnet.ResNet", "a compact residual network for images of about 32x32"),
    "WhitenedCNN": (
        ".networks.whitened.WhitenedCNN",
        "six convolutions behind a whitening layer, for fast training on small images",
    ),
    "ImageAndNumbers": (
        ".networks.image_and_numbers.ImageAndNumbers",
        "a CNN and an MLP joined: an image and numbers beside it",
    ),
    "TorchVision": (
        ".networks.torchvision.TorchVision",
        "any torchvision classification model, by its name",
    ),
    "Timm": (".networks.timm_models.Timm", "any image model of the package timm, by its name"),
    "UNet": (".networks.unet.UNet", "an encoder and decoder with skips, an answer for each pixel"),
    "ColumnReader": (
        ".networks.reader.ColumnReader",
        "convolutions that answer for each column of an image",
    ),
}
