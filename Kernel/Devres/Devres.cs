namespace Fleet.Kernel;

/// <summary>Whether a device's list head was ever set up.</summary>
public enum DevresHead : byte
{
    Initialised,

    /// <summary>All zero, as of a device that never went through device_initialize.</summary>
    Uninitialised,
}

/// <summary>The managed resources of a device: last registered, first released.</summary>
/// <remarks>
/// Invariant: an entry is on the list or was handed out, never both, so its function runs at most once; it runs never
/// only if it was removed. Search goes from the newest to the oldest entry. Every member is one section under the
/// device's devres lock and calls nothing back: what must run is handed to the caller, who runs it outside the lock.
/// Concurrency: one turn. Source: drivers/base/devres.c @ v5.4, kernel-model B.1.
/// Differs: WARN and BUG are values; the memory of an entry is the caller's once it was handed out.
/// </remarks>
public sealed class Devres(DevresHead head = DevresHead.Initialised)
{
    private DevresNode? _newest;
    private DevresNode? _oldest;
    private int _nextId;
    private int _takes;

    /// <summary>Whether nothing is registered.</summary>
    public bool IsEmpty => _newest is null;

    /// <summary>Entries, group markers included, oldest first.</summary>
    public IEnumerable<DevresNode> Nodes
    {
        get
        {
            for (var node = _oldest; node is not null; node = node.Newer)
            {
                yield return node;
            }
        }
    }

    /// <summary>Makes a plain resource that is on no list yet.</summary>
    /// <param name="release">Its release function, in the caller's numbering.</param>
    /// <returns>Null when <paramref name="allocation"/> fails.</returns>
    public static DevresNode? Alloc(
        int release, object? data = null, long dataId = 0, Allocation allocation = Allocation.Succeeds) =>
        allocation is Allocation.Fails ? null : DevresNode.Of(DevresKind.Resource, release, data, dataId);

    /// <summary>Frees an entry that was never added or was taken off.</summary>
    /// <returns><see cref="DevresFault.BugFreedLinked"/> when it is on a list.</returns>
    public static DevresFault Free(DevresNode node) =>
        node.IsLinked ? DevresFault.BugFreedLinked : DevresFault.None;

    /// <summary>Appends an entry.</summary>
    /// <returns><see cref="DevresFault.BugAlreadyLinked"/> when it is on a list already.</returns>
    public DevresFault Add(DevresNode node)
    {
        if (node.IsLinked)
        {
            return DevresFault.BugAlreadyLinked;
        }

        node.Id = _nextId++;
        node.IsLinked = true;
        node.Older = _newest;
        if (_newest is null)
        {
            _oldest = node;
        }
        else
        {
            _newest.Newer = node;
        }

        _newest = node;
        return DevresFault.None;
    }

    /// <summary>Registers an action; on failure nothing is registered and nothing runs.</summary>
    public DevresAdd AddAction(
        int fn, object? data = null, long dataId = 0, Allocation allocation = Allocation.Succeeds) =>
        AddNew(DevresKind.Action, fn, data, dataId, allocation);

    /// <summary>
    /// Registers an action; on failure the caller runs the returned one at once, before anything else.
    /// </summary>
    public DevresAdd AddActionOrReset(
        int fn, object? data = null, long dataId = 0, Allocation allocation = Allocation.Succeeds) =>
        allocation is Allocation.Fails
            ? new(Errno.ENOMEM, DevresNode.Of(DevresKind.Action, fn, data, dataId))
            : AddAction(fn, data, dataId);

    /// <summary>Takes the newest equal action off the list; it does not run.</summary>
    public DevresTake RemoveAction(int fn, object? data = null, long dataId = 0) => TakeAction(fn, data, dataId);

    /// <summary>Takes the newest equal action off the list; the caller runs it now, if there was one.</summary>
    /// <remarks>Added by patch 1 of the series (devm_release_action).</remarks>
    public DevresTake ReleaseAction(int fn, object? data = null, long dataId = 0) => TakeAction(fn, data, dataId);

    /// <summary>Registers managed memory, freed at its own place in the order.</summary>
    /// <param name="data">The object that lives in it.</param>
    public DevresAdd Kmalloc(object? data = null, long dataId = 0, Allocation allocation = Allocation.Succeeds) =>
        AddNew(DevresKind.Kmalloc, 0, data, dataId, allocation);

    /// <summary>Frees managed memory early.</summary>
    public DevresTake Kfree(object? data = null, long dataId = 0)
    {
        var node = _newest;
        while (node is not null && !(node.Kind is DevresKind.Kmalloc && node.IsAbout(data, dataId)))
        {
            node = node.Older;
        }

        return Take(node);
    }

    /// <summary>Registers a plain resource: <see cref="Alloc"/> and <see cref="Add"/>.</summary>
    public DevresAdd AddResource(
        int release, object? data = null, long dataId = 0, Allocation allocation = Allocation.Succeeds) =>
        AddNew(DevresKind.Resource, release, data, dataId, allocation);

    /// <summary>The newest plain resource with this release function that matches.</summary>
    /// <param name="match">Null matches all.</param>
    public DevresNode? Find(int release, Func<DevresNode, bool>? match = null)
    {
        var node = _newest;
        while (node is not null && !Matches(node, release, match))
        {
            node = node.Older;
        }

        return node;
    }

    /// <summary>The newest match of <paramref name="fresh"/>'s release function, or else that one, now added.</summary>
    /// <returns>The entry that is on the list; <paramref name="fresh"/> is the caller's to forget when it is
    /// another.</returns>
    public DevresNode Get(DevresNode fresh, Func<DevresNode, bool>? match = null)
    {
        if (Find(fresh.Fn, match) is { } found)
        {
            return found;
        }

        Add(fresh);
        return fresh;
    }

    /// <summary>Takes the newest match off the list; nothing runs and it is the caller's.</summary>
    public DevresNode? Remove(int release, Func<DevresNode, bool>? match = null) => Take(Find(release, match)).Node;

    /// <summary>Takes the newest match off the list and frees it; nothing runs.</summary>
    /// <returns><see cref="Errno.ENOENT"/> when there is none.</returns>
    public Errno Destroy(int release, Func<DevresNode, bool>? match = null) =>
        Remove(release, match) is null ? Errno.ENOENT : Errno.OK;

    /// <summary>Takes the newest match off the list; the caller runs its release function now.</summary>
    /// <returns><see cref="Errno.ENOENT"/> when there is none.</returns>
    public DevresAdd Release(int release, Func<DevresNode, bool>? match = null) =>
        Remove(release, match) is { } node ? new(Errno.OK, node) : new(Errno.ENOENT, null);

    /// <summary>The plain resources with this release function that match, newest first.</summary>
    public IEnumerable<DevresNode> Each(int release, Func<DevresNode, bool>? match = null)
    {
        for (var node = _newest; node is not null; node = node.Older)
        {
            if (Matches(node, release, match))
            {
                yield return node;
            }
        }
    }

    /// <summary>Opens a group around what is registered next.</summary>
    /// <param name="id">Compared with <see cref="object.Equals(object, object)"/>; null lets the group be its own
    /// id.</param>
    /// <returns>The id, or null when <paramref name="allocation"/> fails.</returns>
    public object? OpenGroup(object? id = null, Allocation allocation = Allocation.Succeeds)
    {
        if (allocation is Allocation.Fails)
        {
            return null;
        }

        var open = new DevresMarker(DevresKind.GroupOpen);
        open.Group = id ?? open;
        open.Close = new DevresMarker(DevresKind.GroupClose) { Group = open.Group, Open = open };
        Add(open);
        return open.Group;
    }

    /// <summary>Closes a group: the newest with this id, or for null the newest that is open.</summary>
    public DevresFault CloseGroup(object? id = null) =>
        FindGroup(id) is { } open ? Add(open.Close!) : DevresFault.WarnNoGroup;

    /// <summary>Takes the markers of a group away; what it holds stays.</summary>
    public DevresFault RemoveGroup(object? id = null)
    {
        if (FindGroup(id) is not { } open)
        {
            return DevresFault.WarnNoGroup;
        }

        Unlink(open);
        Unlink(open.Close!);
        return DevresFault.None;
    }

    /// <summary>
    /// Takes everything from a group's opening marker to its closing one, or to the end while it is open.
    /// </summary>
    /// <remarks>Groups wholly inside go too; of groups that overlap only the entries inside go.</remarks>
    public DevresTodo TakeGroup(object? id = null) => FindGroup(id) is { } open
        ? TakeRange(open, open.Close!.Newer) // The closing marker of an open group has no neighbours.
        : new(null, 0, Errno.OK, DevresFault.WarnNoGroup);

    /// <summary>Takes everything: the beginning of release_all.</summary>
    public DevresTodo TakeAll() => head is DevresHead.Uninitialised
        ? new(null, 0, Errno.ENODEV, DevresFault.WarnUninitialised)
        : TakeRange(_oldest, null);

    /// <summary>Forgets all entries; numbering begins anew.</summary>
    public void Reset()
    {
        _newest = null;
        _oldest = null;
        _nextId = 0;
        _takes = 0;
    }

    /// <summary>
    /// Folds in the entries in order; data objects are told apart by the entries' ids and <see
    /// cref="DevresNode.DataId"/>.
    /// </summary>
    public void HashInto(ref ulong hash)
    {
        for (var node = _oldest; node is not null; node = node.Newer)
        {
            HashNode(ref hash, node);
        }
    }

    internal static void HashNode(ref ulong hash, DevresNode node)
    {
        StateHash.Mix(ref hash, ((ulong)node.Kind << 32) | (uint)node.Fn);
        StateHash.Mix(ref hash, node.Id);
        StateHash.Mix(ref hash, node.DataId);
    }

    private static bool Matches(DevresNode node, int release, Func<DevresNode, bool>? match) =>
        node.Kind is DevresKind.Resource && node.Fn == release && (match is null || match(node));

    private DevresAdd AddNew(DevresKind kind, int fn, object? data, long dataId, Allocation allocation)
    {
        if (allocation is Allocation.Fails)
        {
            return new(Errno.ENOMEM, null);
        }

        var node = DevresNode.Of(kind, fn, data, dataId);
        Add(node);
        return new(Errno.OK, node);
    }

    private DevresTake TakeAction(int fn, object? data, long dataId)
    {
        var node = _newest;
        while (node is not null && !(node.Kind is DevresKind.Action && node.Fn == fn && node.IsAbout(data, dataId)))
        {
            node = node.Older;
        }

        return Take(node);
    }

    private DevresTake Take(DevresNode? node)
    {
        if (node is null)
        {
            return new(DevresFault.WarnNoMatch, null);
        }

        Unlink(node);
        return new(DevresFault.None, node);
    }

    private DevresMarker? FindGroup(object? id)
    {
        for (var node = _newest; node is not null; node = node.Older)
        {
            if (node is DevresMarker { Kind: DevresKind.GroupOpen } open
                && (id is null ? !open.Close!.IsLinked : Equals(open.Group, id)))
            {
                return open;
            }
        }

        return null;
    }

    private void Unlink(DevresNode node)
    {
        if (!node.IsLinked)
        {
            return;
        }

        if (node.Older is null)
        {
            _oldest = node.Newer;
        }
        else
        {
            node.Older.Newer = node.Newer;
        }

        if (node.Newer is null)
        {
            _newest = node.Older;
        }
        else
        {
            node.Newer.Older = node.Older;
        }

        node.IsLinked = false;
        node.Newer = null;
    }

    /// <summary>
    /// Takes the entries in [<paramref name="first"/>, <paramref name="end"/>) and the groups wholly inside.
    /// </summary>
    private DevresTodo TakeRange(DevresNode? first, DevresNode? end)
    {
        DevresNode? newest = null;
        var count = 0;
        _takes++;
        for (var node = first; node != end;)
        {
            var next = node!.Newer;
            switch (node.Kind)
            {
                case DevresKind.GroupOpen:
                    // A group goes with the range if both of its markers are inside, or if it is open and its one is.
                    var open = (DevresMarker)node;
                    open.InTake = _takes;
                    if (!open.Close!.IsLinked)
                    {
                        Unlink(node);
                    }

                    break;

                case DevresKind.GroupClose:
                    var opened = ((DevresMarker)node).Open!;
                    if (opened.InTake == _takes)
                    {
                        Unlink(opened);
                        Unlink(node);
                    }

                    break;

                default:
                    Unlink(node);
                    node.Older = newest;
                    newest = node;
                    count++;
                    break;
            }

            node = next;
        }

        return new(newest, count, Errno.OK, DevresFault.None);
    }
}
