//! The pretrained weights that can be fetched.

use super::Pretrained;

/// Names, addresses, sizes, accuracies and resized sides are those of torchvision 0.29
/// (`torchvision/models/{alexnet,googlenet,resnet}.py`). The last version of each network is torchvision's `DEFAULT`.
#[rustfmt::skip]
pub const ALL: [Pretrained; 10] = [
    Pretrained { network: "alexnet",   version: "IMAGENET1K_V1", address: "https://download.pytorch.org/models/alexnet-owt-7be5be79.pth", mib: 233.087, parameters: 61_100_840, top1: 56.522, top5: 79.066, resize: 256 },
    Pretrained { network: "googlenet", version: "IMAGENET1K_V1", address: "https://download.pytorch.org/models/googlenet-1378be20.pth",   mib:  49.731, parameters:  6_624_904, top1: 69.778, top5: 89.530, resize: 256 },
    Pretrained { network: "resnet18",  version: "IMAGENET1K_V1", address: "https://download.pytorch.org/models/resnet18-f37072fd.pth",    mib:  44.661, parameters: 11_689_512, top1: 69.758, top5: 89.078, resize: 256 },
    Pretrained { network: "resnet34",  version: "IMAGENET1K_V1", address: "https://download.pytorch.org/models/resnet34-b627a593.pth",    mib:  83.275, parameters: 21_797_672, top1: 73.314, top5: 91.420, resize: 256 },
    Pretrained { network: "resnet50",  version: "IMAGENET1K_V1", address: "https://download.pytorch.org/models/resnet50-0676ba61.pth",    mib:  97.781, parameters: 25_557_032, top1: 76.130, top5: 92.862, resize: 256 },
    Pretrained { network: "resnet50",  version: "IMAGENET1K_V2", address: "https://download.pytorch.org/models/resnet50-11ad3fa6.pth",    mib:  97.790, parameters: 25_557_032, top1: 80.858, top5: 95.434, resize: 232 },
    Pretrained { network: "resnet101", version: "IMAGENET1K_V1", address: "https://download.pytorch.org/models/resnet101-63fe2227.pth",   mib: 170.511, parameters: 44_549_160, top1: 77.374, top5: 93.546, resize: 256 },
    Pretrained { network: "resnet101", version: "IMAGENET1K_V2", address: "https://download.pytorch.org/models/resnet101-cd907fc2.pth",   mib: 170.530, parameters: 44_549_160, top1: 81.886, top5: 95.780, resize: 232 },
    Pretrained { network: "resnet152", version: "IMAGENET1K_V1", address: "https://download.pytorch.org/models/resnet152-394f9c45.pth",   mib: 230.434, parameters: 60_192_808, top1: 78.312, top5: 94.046, resize: 256 },
    Pretrained { network: "resnet152", version: "IMAGENET1K_V2", address: "https://download.pytorch.org/models/resnet152-f82ba261.pth",   mib: 230.474, parameters: 60_192_808, top1: 82.284, top5: 96.002, resize: 232 },
];
