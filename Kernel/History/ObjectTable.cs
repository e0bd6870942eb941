using System.Globalization;
using System.Runtime.CompilerServices;

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
/// What is made anew in every life of a binding has the number of the life behind its name (<c>p2pdma:DEV.17</c>), and
/// names are kept for ever: from the second life on such a name is kept as the one before the number, which all lives
/// share, and the number. A device has six names, of which its own alone is kept, as its machine and its place there,
/// which other devices have too: of the others the device is, and what stands before and after its key, which all
/// devices share. A question about a name, and a name given in parts, makes no string.
/// Concurrency: any thread; reading a known name takes no lock. Source: docs/decisions/0146, 0158, 0161.
/// </remarks>
public sealed class ObjectTable
{
    /// <summary>Longest number behind a name: every one of as many digits is an <see cref="int"/>.</summary>
    private const int LifeDigitsMax = 9;

    /// <summary>Characters that nearly every name fits into: room for one on the stack.</summary>
    public const int UsualLength = 128;

    private const string DevicePrefix = "dev:";

    private readonly Lock _gate = new();
    private readonly Dictionary<(string Before, string After), Form> _forms = [];
    private readonly HashSet<string> _shared = new(StringComparer.Ordinal);
    private readonly HashSet<string>.AlternateLookup<ReadOnlySpan<char>> _sharedBySpan;
    private readonly List<string> _processes = [""];

    /// <summary>Machines of devices, each with the slash behind it; the first is that of devices without one.</summary>
    private volatile string[] _hosts = [""];
    private readonly Dictionary<string, int> _hostNumbers = new(StringComparer.Ordinal) { [""] = 0 };
    private volatile Entry[] _entries = [new("", ObjectKind.Other, 0, 0)];

    /// <summary>Ids by the hashes of their names, each at the first free place from that of its hash on.</summary>
    private int[] _places = new int[16];
    private int _count = 1;

    public ObjectTable() => _sharedBySpan = _shared.GetAlternateLookup<ReadOnlySpan<char>>();

    /// <summary>What stands before and after the key of a device in a name.</summary>
    private sealed record Form(string Before, string After);

    /// <summary>A name that has the key of a device in it.</summary>
    private readonly record struct Parts(string Before, string Host, string Place, string After);

    /// <param name="Text">The name, without the life where there is one; or its <see cref="Form"/>; of a device what
    /// stands behind its machine.</param>
    /// <param name="Number">The device; where the entry has a life, that, since such names belong to no device; of a
    /// device itself its machine.</param>
    /// <param name="Tag">Of the hash, what says nothing of the place: most other names differ in it.</param>
    private readonly record struct Entry(
        object Text, ObjectKind Kind, int Number, ushort Tag, bool HasLife = false);

    /// <summary>Ids in use are 1 to this number, inclusive.</summary>
    public int LastId => Volatile.Read(ref _count) - 1;

    /// <summary>
    /// Returns the id of <paramref name="name"/>, giving it one at first mention; 0 for null or empty.
    /// </summary>
    public int Intern(string? name) => Intern(name, name);

    /// <inheritdoc cref="Intern(string?)"/>
    public int Intern(ReadOnlySpan<char> name) => Intern(name, null);

    /// <inheritdoc cref="Intern(string?)"/>
    public int Intern(ref DefaultInterpolatedStringHandler name)
    {
        var id = Intern(name.Text, null);
        name.Clear();
        return id;
    }

    /// <param name="whole">The name, where the caller has a string of it.</param>
    private int Intern(ReadOnlySpan<char> name, string? whole)
    {
        if (name.IsEmpty)
        {
            return 0;
        }

        lock (_gate)
        {
            var hash = HashOf(name);
            var known = _places[PlaceOf(name, hash)];
            if (known != 0)
            {
                return known;
            }

            var kind = KindOf(name);
            var device = kind is ObjectKind.Ref or ObjectKind.Map or ObjectKind.Pool ? InternDeviceOf(name, kind) : 0;
            var id = _count;
            if (id == _entries.Length)
            {
                var grown = new Entry[_entries.Length * 2];
                _entries.CopyTo(grown, 0);
                _entries = grown;
            }

            _entries[id] = kind is ObjectKind.Device ? NewDevice(name[DevicePrefix.Length..], TagOf(hash))
                : kind is ObjectKind.Other or ObjectKind.Queue && LifeOf(name) is { Life: > 1 } split
                ? new(Shared(name[..split.Length]), kind, split.Life, TagOf(hash), HasLife: true)
                : FormOf(name, kind, ref device) is { } form ? new(form, kind, device, TagOf(hash))
                : new(whole ?? name.ToString(), kind, device, TagOf(hash));
            if (3 * id > 2 * _places.Length)
            {
                Grow();
            }

            _places[PlaceOf(name, hash)] = id;
            Volatile.Write(ref _count, id + 1);
            return id;
        }
    }

    /// <summary>Returns the id of a known name, 0 for one never mentioned.</summary>
    public int Find(ReadOnlySpan<char> name)
    {
        lock (_gate)
        {
            return _places[PlaceOf(name, HashOf(name))];
        }
    }

    /// <inheritdoc cref="Find(ReadOnlySpan{char})"/>
    public int Find(ref DefaultInterpolatedStringHandler name)
    {
        var id = Find(name.Text);
        name.Clear();
        return id;
    }

    /// <remarks>A name with a life, or with the key of a device, is made anew by each call.</remarks>
    public string Name(int id)
    {
        var entries = _entries;
        ref readonly var entry = ref entries[id];
        return HasKey(entries, entry, out var parts)
            ? string.Concat(parts.Before, parts.Host, parts.Place, parts.After)
            : entry.HasLife ? string.Create(CultureInfo.InvariantCulture, $"{(string)entry.Text}.{entry.Number}")
            : (string)entry.Text;
    }

    /// <summary>Returns the name without making a string of it, where the room that is given is enough.</summary>
    /// <param name="room">What the name may be written into, mostly <see cref="UsualLength"/>.</param>
    public ReadOnlySpan<char> Name(int id, Span<char> room)
    {
        var entries = _entries;
        ref readonly var entry = ref entries[id];
        int length;
        if (HasKey(entries, entry, out var parts))
        {
            return room.TryWrite($"{parts.Before}{parts.Host}{parts.Place}{parts.After}", out length)
                ? room[..length] : Name(id);
        }

        if (!entry.HasLife)
        {
            return (string)entry.Text;
        }

        return room.TryWrite(CultureInfo.InvariantCulture, $"{(string)entry.Text}.{entry.Number}", out length)
            ? room[..length] : Name(id);
    }

    public bool NameStartsWith(int id, string prefix) =>
        Name(id, stackalloc char[UsualLength]).StartsWith(prefix, StringComparison.Ordinal);

    public bool NameEndsWith(int id, string suffix) =>
        Name(id, stackalloc char[UsualLength]).EndsWith(suffix, StringComparison.Ordinal);

    public ObjectKind Kind(int id) => _entries[id].Kind;

    /// <summary>Returns the device that a ref, map or pool belongs to; a device's own id for itself; else 0.</summary>
    public int DeviceOf(int id)
    {
        ref readonly var entry = ref _entries[id];
        return entry.Kind is ObjectKind.Device ? id
            : entry.HasLife || entry.Kind is ObjectKind.Other ? 0 : entry.Number;
    }

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

    /// <remarks>FNV-1a over UTF-16 units.</remarks>
    private static int HashOf(ReadOnlySpan<char> name)
    {
        var hash = 2166136261U;
        foreach (var unit in name)
        {
            hash = unchecked((hash ^ unit) * 16777619U);
        }

        return unchecked((int)(hash ^ (hash >> 15)));
    }

    private static ushort TagOf(int hash) => unchecked((ushort)(hash >>> 16));

    /// <summary>The place of a name, or the free one where it would stand.</summary>
    private int PlaceOf(ReadOnlySpan<char> name, int hash)
    {
        var last = _places.Length - 1;
        var place = hash & last;
        while (_places[place] is var taken and not 0
            && !(_entries[taken].Tag == TagOf(hash) && IsNamed(taken, name)))
        {
            place = (place + 1) & last;
        }

        return place;
    }

    private bool IsNamed(int id, ReadOnlySpan<char> name)
    {
        ref readonly var entry = ref _entries[id];
        if (HasKey(_entries, entry, out var parts))
        {
            return TryCut(ref name, parts.Before) && TryCut(ref name, parts.Host) && TryCut(ref name, parts.Place)
                && name.SequenceEqual(parts.After);
        }

        return entry.HasLife
            ? LifeOf(name) is var split && split.Life == entry.Number
                && name[..split.Length].SequenceEqual((string)entry.Text)
            : name.SequenceEqual((string)entry.Text);
    }

    private static bool TryCut(ref ReadOnlySpan<char> name, string beginning)
    {
        var hasIt = name.StartsWith(beginning, StringComparison.Ordinal);
        name = hasIt ? name[beginning.Length..] : name;
        return hasIt;
    }

    private bool HasKey(Entry[] entries, in Entry entry, out Parts parts)
    {
        var form = entry.Text as Form;
        if (form is null && entry.Kind is not ObjectKind.Device)
        {
            parts = default;
            return false;
        }

        ref readonly var device = ref entry;
        if (form is not null)
        {
            device = ref entries[entry.Number];
        }

        parts = new(form?.Before ?? DevicePrefix, _hosts[device.Number], (string)device.Text, form?.After ?? "");
        return true;
    }

    private Entry NewDevice(ReadOnlySpan<char> key, ushort tag)
    {
        var slash = key.IndexOf('/');
        var numbers = _hostNumbers.GetAlternateLookup<ReadOnlySpan<char>>();
        if (!numbers.TryGetValue(key[..(slash + 1)], out var host))
        {
            host = _hostNumbers.Count;
            var hosts = _hosts;
            if (host == hosts.Length)
            {
                Array.Resize(ref hosts, 2 * hosts.Length);
            }

            hosts[host] = key[..(slash + 1)].ToString();
            _hosts = hosts;
            _hostNumbers.Add(hosts[host], host);
        }

        return new(Shared(key[(slash + 1)..]), ObjectKind.Device, host, tag);
    }

    /// <summary>The form of a name that has the key of a known device in it; null where it has none.</summary>
    /// <param name="device">Of a ref, map or pool; of anything else it is found here.</param>
    private Form? FormOf(ReadOnlySpan<char> name, ObjectKind kind, ref int device)
    {
        var (start, end) = (name.IndexOf(':') + 1, name.LastIndexOf('/'));
        if (kind is ObjectKind.Pool)
        {
            end = name.Length;
        }
        else if (kind is ObjectKind.Other && start > 0)
        {
            device = DeviceIn(name, start, end);
            if (device == 0)
            {
                end = name.LastIndexOf('.');
                device = DeviceIn(name, start, end);
            }
        }

        if (device == 0)
        {
            return null;
        }

        var (before, after) = (Shared(name[..start]), Shared(name[end..]));
        if (!_forms.TryGetValue((before, after), out var form))
        {
            form = new(before, after);
            _forms.Add((before, after), form);
        }

        return form;
    }

    /// <summary>The known device whose key stands there in a name; 0 where none does.</summary>
    private int DeviceIn(ReadOnlySpan<char> name, int start, int end) =>
        end > start ? Find($"{DevicePrefix}{name[start..end]}") : 0;

    private void Grow()
    {
        _places = new int[2 * _places.Length];
        Span<char> room = stackalloc char[UsualLength];
        for (var id = 1; id < _count; id++)
        {
            var place = HashOf(Name(id, room)) & (_places.Length - 1);
            while (_places[place] != 0)
            {
                place = (place + 1) & (_places.Length - 1);
            }

            _places[place] = id;
        }
    }

    /// <summary>The number behind the last dot of a name, and the length of what stands before the dot; 0 where no
    /// number stands there that would be written in the same way again.</summary>
    private static (int Length, int Life) LifeOf(ReadOnlySpan<char> name)
    {
        var dot = name.LastIndexOf('.');
        var digits = name[(dot + 1)..];
        return dot > 0 && digits.Length is > 0 and <= LifeDigitsMax && digits[0] is >= '1' and <= '9'
            && !digits.ContainsAnyExceptInRange('0', '9')
            ? (dot, int.Parse(digits, NumberStyles.None, CultureInfo.InvariantCulture)) : (0, 0);
    }

    private string Shared(ReadOnlySpan<char> name)
    {
        if (!_sharedBySpan.TryGetValue(name, out var shared))
        {
            shared = name.ToString();
            _shared.Add(shared);
        }

        return shared;
    }

    private static ObjectKind KindOf(ReadOnlySpan<char> name) =>
        name[..Math.Max(0, name.IndexOf(':'))] switch
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

    private int InternDeviceOf(ReadOnlySpan<char> name, ObjectKind kind)
    {
        var body = name[(name.IndexOf(':') + 1)..];
        if (kind is not ObjectKind.Pool)
        {
            var slash = body.LastIndexOf('/');
            if (slash <= 0)
            {
                return 0;
            }

            body = body[..slash];
        }

        return Intern($"{DevicePrefix}{body}");
    }
}
