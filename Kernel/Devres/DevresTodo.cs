using System.Diagnostics.CodeAnalysis;

namespace Fleet.Kernel;

/// <summary>Entries taken off a list together, to be released one after another, newest first.</summary>
/// <remarks>
/// The set was fixed under the list's lock; the caller runs each release function itself, as they sleep, and frees the
/// entry before it takes the next. What is added meanwhile is not part of it. A mutable value.
/// Source: release_nodes of drivers/base/devres.c @ v5.4, kernel-model B.1.
/// </remarks>
public struct DevresTodo
{
    private DevresNode? _newest;

    internal DevresTodo(DevresNode? newest, int count, Errno err, DevresFault fault)
    {
        _newest = newest;
        Count = count;
        Err = err;
        Fault = fault;
    }

    /// <summary>Entries in the beginning, group markers not counted: what the kernel's call returns.</summary>
    public int Count { get; }

    /// <summary><see cref="Errno.ENODEV"/> for a list that was never initialised.</summary>
    public Errno Err { get; }

    public DevresFault Fault { get; }

    /// <summary>Whether <see cref="TryNext"/> would give nothing.</summary>
    public readonly bool IsEmpty => _newest is null;

    /// <summary>Takes the newest entry left; the caller runs its function, if it has one.</summary>
    public bool TryNext([NotNullWhen(true)] out DevresNode? node)
    {
        node = _newest;
        if (node is null)
        {
            return false;
        }

        _newest = node.Older;
        node.Older = null;
        return true;
    }

    /// <summary>Folds in what is left to do.</summary>
    public readonly void HashInto(ref ulong hash)
    {
        for (var node = _newest; node is not null; node = node.Older)
        {
            Devres.HashNode(ref hash, node);
        }
    }
}
