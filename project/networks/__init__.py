"""Plain torch networks. A new network is a file here and a line in this table."""

NETWORKS = {
    "LeNet": ("project.networks.lenet.LeNet", "LeNet-5: two convolutions, three linear layers, 61,706 parameters"),
    "MLP": ("project.networks.mlp.MLP", "linear layers; embeds the categorical columns of tables"),
    "CNN": ("project.networks.cnn.CNN", "convolution blocks with pooling, with or without batch norm"),
    "AlexNet": ("project.networks.alexnet.AlexNet", "AlexNet for images of 224, and a form for small images"),
    "ResNet": ("project.networks.resnet.ResNet", "a compact residual network for images of about 32x32"),
    "ImageAndNumbers": ("project.networks.fused.ImageAndNumbers", "a CNN and an MLP joined: an image and numbers beside it"),
    "TorchVision": ("project.networks.torchvision.TorchVision", "any torchvision classification model, by its name"),
    "UNet": ("project.networks.unet.UNet", "an encoder and decoder with skips, an answer for each pixel"),
    "ColumnReader": ("project.networks.reader.ColumnReader", "convolutions that answer for each column of an image"),
    "SmallCNN": ("project.networks.tutorial.SmallCNN", "convolutions without padding: 6-12-120-60, 32,998 parameters"),
    "HandMade": ("project.networks.tutorial.HandMade", "SmallCNN from hand-written layers"),
    "Matrices": ("project.networks.tutorial.Matrices", "bare matrices, the first chosen by name"),
}
