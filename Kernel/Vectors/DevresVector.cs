using System.Globalization;
using System.Text.Json.Nodes;
using static Fleet.Kernel.Vectors.VectorField;

namespace Fleet.Kernel.Vectors;

/// <summary>
/// A <see cref="Devres"/> list driven by a recording; its actions record that they ran, three of them do more.
/// </summary>
internal sealed class DevresVector : IVectorSubject
{
    private const int AddsWhenRun = 8;
    private const int ReleasesWhenRun = 9;
    private const int RemovesWhenRun = 10;
    private const long ReentrantOffset = 1000;

    private readonly Devres _devres;
    private readonly Dictionary<string, object> _groups = new(StringComparer.Ordinal);
    private readonly Dictionary<object, string> _labels = [];
    private int _autoGroups;
    private long _memories;
    private JsonArray _ran = [];
    private int _warns;

    public DevresVector(JsonObject header) =>
        _devres = new Devres((bool?)header["uninit"] is true ? DevresHead.Uninitialised : DevresHead.Initialised);

    public bool Execute(string operation, JsonObject record, JsonObject got)
    {
        _ran = [];
        _warns = 0;
        if (!Group(operation, record, got) && !Action(operation, record, got) && !Resource(operation, record, got))
        {
            return false;
        }

        if (got.ContainsKey("bug"))
        {
            return true;
        }

        got["ran"] = _ran;
        if (_warns > 0)
        {
            got["warn"] = _warns;
        }

        return true;
    }

    private static Func<DevresNode, bool>? MatchOf(JsonObject record)
    {
        if ((long?)record["match"] is not { } value)
        {
            return null;
        }

        return node => node.DataId == value;
    }

    /// <summary>The number in a label of memory, m1 and up; 0 for memory that this device never had.</summary>
    private static long MemoryOf(string? label) =>
        label is ['m', .. var digits] && long.TryParse(digits, CultureInfo.InvariantCulture, out var number)
            ? number
            : 0;

    private bool Action(string operation, JsonObject record, JsonObject got)
    {
        var (fn, data) = ((int?)record["fn"] ?? 0, (long?)record["data"] ?? 0);
        switch (operation)
        {
            case "add_action":
                got["ret"] = -(int)_devres.AddAction(fn, null, data, AllocationOf(record)).Err;
                return true;
            case "add_action_or_reset":
                var added = _devres.AddActionOrReset(fn, null, data, AllocationOf(record));
                got["ret"] = -(int)added.Err;
                if (added.Err is not Errno.OK)
                {
                    Run(added.Node!);
                }

                return true;
            case "remove_action":
                Note(_devres.RemoveAction(fn, null, data).Fault);
                return true;
            case "release_action":
                Release(_devres.ReleaseAction(fn, null, data));
                return true;
            case "release_all":
                var todo = _devres.TakeAll();
                ReleaseEach(ref todo);
                got["ret"] = todo.Err is Errno.OK ? todo.Count : -(int)todo.Err;
                return true;
            case "dump":
                got["list"] = new JsonArray([.. _devres.Nodes.Select(node => (JsonNode)Dump(node))]);
                return true;
            default:
                return false;
        }
    }

    private bool Group(string operation, JsonObject record, JsonObject got)
    {
        var label = (string?)record["id"];
        var id = label is null ? null : _groups.GetValueOrDefault(label, label);
        switch (operation)
        {
            case "open_group":
                var opened = _devres.OpenGroup(id, AllocationOf(record));
                if (opened is not null && label is null)
                {
                    label = $"auto{++_autoGroups}";
                    _groups[label] = opened;
                    _labels[opened] = label;
                }

                got["result"] = opened is null ? null : label;
                return true;
            case "close_group":
                if (_devres.CloseGroup(id) is var fault && fault is DevresFault.BugAlreadyLinked)
                {
                    got["bug"] = true;
                    return true;
                }

                Note(fault);
                return true;
            case "remove_group":
                Note(_devres.RemoveGroup(id));
                return true;
            case "release_group":
                var todo = _devres.TakeGroup(id);
                ReleaseEach(ref todo);
                got["ret"] = todo.Count;
                return true;
            default:
                return false;
        }
    }

    private bool Resource(string operation, JsonObject record, JsonObject got)
    {
        var (release, value) = ((int?)record["rel"] ?? 0, (long?)record["val"] ?? 0);
        switch (operation)
        {
            case "res_add":
                got["ret"] = -(int)_devres.AddResource(release, null, value, AllocationOf(record)).Err;
                return true;
            case "res_find":
                got["result"] = _devres.Find(release, MatchOf(record))?.DataId;
                return true;
            case "res_get":
                var fresh = Devres.Alloc(release, null, value)!;
                var found = _devres.Get(fresh, node => node.DataId == value);
                got["added"] = ReferenceEquals(fresh, found);
                got["result"] = found.DataId;
                return true;
            case "res_remove":
                got["result"] = _devres.Remove(release, MatchOf(record))?.DataId;
                return true;
            case "res_destroy":
                got["ret"] = -(int)_devres.Destroy(release, MatchOf(record));
                return true;
            case "res_release":
                var released = _devres.Release(release, MatchOf(record));
                got["ret"] = -(int)released.Err;
                if (released.Node is { } node)
                {
                    Run(node);
                }

                return true;
            case "res_each":
                got["seen"] = new JsonArray(
                    [.. _devres.Each(release, MatchOf(record)).Select(each => (JsonNode)each.DataId)]);
                return true;
            case "kmalloc":
                var memory = _devres.Kmalloc(null, _memories + 1, AllocationOf(record));
                got["result"] = memory.Node is null ? null : $"m{++_memories}";
                return true;
            case "kfree":
                Note(_devres.Kfree(null, MemoryOf((string?)record["id"])).Fault);
                return true;
            default:
                return false;
        }
    }

    private void ReleaseEach(ref DevresTodo todo)
    {
        Note(todo.Fault);
        while (todo.TryNext(out var node))
        {
            Run(node);
        }
    }

    private void Release(DevresTake take)
    {
        Note(take.Fault);
        if (take.Node is { } node)
        {
            Run(node);
        }
    }

    private void Run(DevresNode node)
    {
        if (node.Kind is DevresKind.Kmalloc)
        {
            return;
        }

        _ran.Add((JsonNode)new JsonArray(node.Fn, node.DataId));
        if (node.Kind is not DevresKind.Action)
        {
            return;
        }

        var other = node.DataId + ReentrantOffset;
        switch (node.Fn)
        {
            case AddsWhenRun:
                _devres.AddAction(0, null, other);
                break;
            case ReleasesWhenRun:
                Release(_devres.ReleaseAction(0, null, other));
                break;
            case RemovesWhenRun:
                Note(_devres.RemoveAction(0, null, other).Fault);
                break;
        }
    }

    private void Note(DevresFault fault)
    {
        if (fault is not DevresFault.None)
        {
            _warns++;
        }
    }

    private JsonArray Dump(DevresNode node) => node.Kind switch
    {
        DevresKind.Action => new("action", node.Fn, node.DataId),
        DevresKind.Kmalloc => new("mem", $"m{node.DataId}"),
        DevresKind.Resource => new("res", node.Fn, node.DataId),
        DevresKind.GroupOpen => new("open", LabelOf(node)),
        _ => new("close", LabelOf(node)),
    };

    private string LabelOf(DevresNode marker) => marker.GroupId as string ?? _labels[marker.GroupId!];
}
