using System.Text.Json.Nodes;
using static Fleet.Kernel.Vectors.VectorField;

namespace Fleet.Kernel.Vectors;

/// <summary>
/// A <see cref="PercpuRef"/> driven by a recording: callbacks run in <c>grace</c> and where an operation waits.
/// </summary>
internal sealed class PercpuRefVector : IVectorSubject, IPercpuRefEvents
{
    private static readonly (PercpuRefWarn Warn, string Tag)[] Tags =
    [
        (PercpuRefWarn.ExitWhileSwitching, "exit-while-switching"),
        (PercpuRefWarn.NotPositiveAfterSwitch, "not-positive-after-switch"),
        (PercpuRefWarn.ToPercpuWithoutReinit, "to-percpu-without-reinit"),
        (PercpuRefWarn.KilledTwice, "killed-twice"),
        (PercpuRefWarn.ReinitNotZero, "reinit-not-zero"),
        (PercpuRefWarn.ResurrectNotDead, "resurrect-not-dead"),
        (PercpuRefWarn.ResurrectWhilePercpu, "resurrect-while-percpu"),
    ];

    private readonly RcuDomain _rcu = new();
    private readonly PercpuRef _ref;
    private readonly bool _isExitInRelease;
    private readonly List<string> _events = [];
    private PercpuRefWarn _warn;
    private bool _isBlocked;

    public PercpuRefVector(JsonObject header)
    {
        _ref = new PercpuRef(_rcu, this, (int)Number(header, "cpus", 1, 4096));
        _isExitInRelease = (bool?)header["exit_in_release"] is true;
    }

    public bool Execute(string operation, JsonObject record, JsonObject got)
    {
        _events.Clear();
        _warn = PercpuRefWarn.None;
        _isBlocked = false;
        var cpus = _ref.PercpuCounts.Length;
        var cpu = record.ContainsKey("cpu") ? (int)Number(record, "cpu", 0, cpus - 1) : 0;
        var confirm = (int?)record["confirm"] ?? 0;
        switch (operation)
        {
            case "init":
                got["ret"] = -(int)_ref.Init(InitOf(record["flags"] as JsonArray ?? []), AllocationOf(record));
                break;
            case "get":
                _ref.Get(cpu);
                break;
            case "put":
                _ref.Put(cpu);
                break;
            case "get_many":
                _ref.Get(cpu, Number(record, "nr"));
                break;
            case "put_many":
                _ref.Put(cpu, Number(record, "nr"));
                break;
            case "tryget":
                got["result"] = _ref.TryGet(cpu);
                break;
            case "tryget_live":
                got["result"] = _ref.TryGetLive(cpu);
                break;
            case "kill" or "kill_and_confirm":
                Wait(_ref.Kill(confirm));
                break;
            case "grace":
                got["ran"] = _rcu.RunCallbacks();
                break;
            case "is_dying":
                got["result"] = _ref.IsDying;
                break;
            case "is_zero":
                got["result"] = _ref.IsZero;
                break;
            case "reinit":
                Wait(_ref.Reinit(cpu));
                break;
            case "resurrect":
                Wait(_ref.Resurrect(cpu));
                break;
            case "switch_to_atomic":
                Wait(_ref.SwitchToAtomic(confirm));
                break;
            case "switch_to_atomic_sync":
                Wait(_ref.SwitchToAtomicSync());
                break;
            case "switch_to_percpu":
                Wait(_ref.SwitchToPercpu());
                break;
            case "exit":
                _warn |= _ref.Exit();
                break;
            default:
                return false;
        }

        Report(got);
        return true;
    }

    void IPercpuRefEvents.Released(PercpuRef reference)
    {
        _events.Add("release");
        if (_isExitInRelease)
        {
            _warn |= reference.Exit();
        }
    }

    void IPercpuRefEvents.Confirmed(PercpuRef reference, int confirm) => _events.Add($"confirm{confirm}");

    void IPercpuRefEvents.Folded(PercpuRef reference, PercpuRefWarn warn) => _warn |= warn;

    private static PercpuRefInit InitOf(JsonArray flags)
    {
        var init = PercpuRefInit.None;
        foreach (var flag in flags)
        {
            init |= (string?)flag switch
            {
                "atomic" => PercpuRefInit.Atomic,
                "dead" => PercpuRefInit.Dead,
                "allow_reinit" => PercpuRefInit.AllowReinit,
                var other => throw new FormatException($"\"{other}\" is no flag of init."),
            };
        }

        return init;
    }

    private void Wait(PercpuRefSwitch change)
    {
        while (!change.IsDone && _rcu.RunCallback())
        {
            _isBlocked = true;
            change.TryComplete();
        }

        _warn |= change.Warn;
    }

    private void Report(JsonObject got)
    {
        if ((_warn & PercpuRefWarn.BugNoPercpuMemory) != 0)
        {
            got.Clear();
            got["bug"] = true;
            return;
        }

        if (_events.Count > 0)
        {
            got["ev"] = new JsonArray([.. _events.Select(name => (JsonNode)name)]);
        }

        if (_warn != PercpuRefWarn.None)
        {
            got["warn"] = new JsonArray(
                [.. Tags.Where(known => (_warn & known.Warn) != 0).Select(known => (JsonNode)known.Tag)]);
        }

        if (_isBlocked)
        {
            got["blocked"] = true;
        }

        got["st"] = new JsonObject
        {
            ["atomic"] = (_ref.ReadFlags() & PercpuRefFlags.Atomic) != 0,
            ["dead"] = _ref.IsDying,
            ["switching"] = _ref.IsSwitching,
            ["count"] = Hex(unchecked((ulong)_ref.CentralCount)),
            ["percpu"] = _ref.HasPercpuMemory
                ? new JsonArray([.. _ref.PercpuCounts.ToArray().Select(count => (JsonNode)count)])
                : null,
        };
    }
}
