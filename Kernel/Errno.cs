namespace Fleet.Kernel;

/// <summary>Error numbers of the kernel by name; returned as values and recorded by name.</summary>
/// <remarks>
/// Source: include/uapi/asm-generic/errno-base.h and errno.h. Differs: positive here, negative in the kernel.
/// </remarks>
public enum Errno : short
{
    OK = 0, EPERM = 1, ENOENT = 2, EIO = 5, ENXIO = 6, EAGAIN = 11, ENOMEM = 12, EACCES = 13, EFAULT = 14, EBUSY = 16,
    EEXIST = 17, ENODEV = 19, EINVAL = 22, ENOSPC = 28, ERANGE = 34, ETIMEDOUT = 110, ESTALE = 116, ECANCELED = 125,
}
