namespace Fleet.Kernel.History;

/// <summary>What a named thing of a history is.</summary>
/// <remarks>Source: history-format, section Objects.</remarks>
public enum ObjectKind : byte
{
    /// <summary>Anything whose name has none of the known prefixes.</summary>
    Other,

    /// <summary><c>dev:HOST/DOMAIN:BUS:DEV.FN</c>, <c>dev:HOST/nd:REGION</c> or <c>dev:HOST/hmm:N</c>.</summary>
    Device,

    /// <summary><c>ref:DEV/barN[.k]</c> or <c>ref:DEV/shared</c>: a percpu_ref and its completion.</summary>
    Ref,

    /// <summary><c>map:DEV/barN[.k]</c>: one dev_pagemap with its pages.</summary>
    Map,

    /// <summary><c>pool:DEV</c>: the gen_pool of a device.</summary>
    Pool,

    /// <summary><c>queue:HOST/pmemN</c>: a request queue and its usage counter.</summary>
    Queue,

    /// <summary><c>client:NAME</c>: one sequential logical client.</summary>
    Client,

    /// <summary><c>session:NAME</c>: a generator process under its lease.</summary>
    Session,

    /// <summary><c>host:NAME</c>: a machine.</summary>
    Host,
}

/// <summary>Gives every object name of a history a small number, so that records hold integers.</summary>
/// <remarks>
/// Invariant: id 0 means "none"; ids are dense from 1 in the order of first mention; a name never changes its id.
/// Concurrency: any thread; reading a known name takes no lock.
/// </remarks>
public sealed class ObjectTable
{
    private readonly Lock _gate = new();
    private readonly Dictionary<string, int> _ids = new(StringComparer.Ordinal);
    private readonly List<string> _processes = [""];
    private volatile Entry[] _entries = [new("", ObjectKind.Other, 0)];
    private int _count = 1;

    private readonly record struct Entry(string Name, ObjectKind Kind, int Device);

    /// <summary>Ids in use are 1 to this number, inclusive.</summary>
    public int LastId => Volatile.Read(ref _count) - 1;

    /// <summary>
    /// Returns the id of <paramref name="name"/>, giving it one at first mention; 0 for null or empty.
    /// </summary>
    public int Intern(string? name)
    {
        if (string.IsNullOrEmpty(name))
        {
            return 0;
        }

        lock (_gate)
        {
            if (_ids.TryGetValue(name, out var id))
            {
                return id;
            }

            var kind = KindOf(name);
            var device = kind is ObjectKind.Ref or ObjectKind.Map or ObjectKind.Pool ? InternDeviceOf(name, kind) : 0;
            id = _count;
            if (id == _entries.Length)
            {
                var grown = new Entry[_entries.Length * 2];
                _entries.CopyTo(grown, 0);
                _entries = grown;
            }

            _entries[id] = new(name, kind, kind is ObjectKind.Device ? id : device);
            _ids.Add(name, id);
            Volatile.Write(ref _count, id + 1);
            return id;
        }
    }

    /// <summary>Returns the id of a known name, 0 for one never mentioned.</summary>
    public int Find(string name)
    {
        lock (_gate)
        {
            return _ids.GetValueOrDefault(name);
        }
    }

    public string Name(int id) => _entries[id].Name;

    public ObjectKind Kind(int id) => _entries[id].Kind;

    /// <summary>Returns the device that a ref, map or pool belongs to; a device's own id for itself; else 0.</summary>
    public int DeviceOf(int id) => _entries[id].Device;

    /// <summary>Returns the name of the process with a number, empty for one that nobody named.</summary>
    /// <param name="number">As events carry it: counted from 1 in the run.</param>
    public string ProcessName(int number)
    {
        lock (_gate)
        {
            return number < _processes.Count ? _processes[number] : "";
        }
    }

    /// <summary>Names the process with a number; the newest name stands.</summary>
    public void NameProcess(int number, string name)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(number);
        lock (_gate)
        {
            while (_processes.Count <= number)
            {
                _processes.Add("");
            }

            _processes[number] = name;
        }
    }

    /// <summary>
    /// Returns the number of a process, giving it the next one at first mention; 0 for null or empty.
    /// </summary>
    public int InternProcess(string? name)
    {
        lock (_gate)
        {
            var known = _processes.IndexOf(name ?? "");
            if (known < 0)
            {
                known = _processes.Count;
                _processes.Add(name!);
            }

            return known;
        }
    }

    private static ObjectKind KindOf(string name) =>
        name.AsSpan(0, Math.Max(0, name.IndexOf(':', StringComparison.Ordinal))) switch
        {
            "dev" => ObjectKind.Device,
            "ref" => ObjectKind.Ref,
            "map" => ObjectKind.Map,
            "pool" => ObjectKind.Pool,
            "queue" => ObjectKind.Queue,
            "client" => ObjectKind.Client,
            "session" => ObjectKind.Session,
            "host" => ObjectKind.Host,
            _ => ObjectKind.Other,
        };

    private int InternDeviceOf(string name, ObjectKind kind)
    {
        var body = name[(name.IndexOf(':', StringComparison.Ordinal) + 1)..];
        if (kind is not ObjectKind.Pool)
        {
            var slash = body.LastIndexOf('/');
            if (slash <= 0)
            {
                return 0;
            }

            body = body[..slash];
        }

        return Intern("dev:" + body);
    }
}
