using System.Diagnostics;
using System.Globalization;
using System.Text.Json;
using Fleet.Client.Load;
using Fleet.Client.Runs;
using Fleet.Client.Scenarios;
using Fleet.Kernel.History;
using Spectre.Console;
using static System.FormattableString;

namespace Fleet.Client.Commands;

/// <summary>How a run is followed.</summary>
internal enum ProgressForm
{
    /// <summary>One picture that redraws itself, for a person at a terminal.</summary>
    Picture,

    /// <summary>A line now and then, for a log.</summary>
    Lines,

    /// <summary>A JSON object in each line, for a program.</summary>
    Json,
}

/// <summary>A run's progress on standard error.</summary>
internal sealed class RunProgress(Terminal terminal, RunRequest request, ProgressForm form)
    : IRunProgress, IAsyncDisposable
{
    private static readonly TimeSpan LineInterval = TimeSpan.FromSeconds(5);
    private static readonly TimeSpan JsonInterval = TimeSpan.FromSeconds(1);

    private static readonly JsonSerializerOptions LineJson = new(JsonSerializerDefaults.Web);

    private readonly Lock _gate = new();
    private readonly Stopwatch _clock = Stopwatch.StartNew();
    private readonly RunPicture _picture = new(request.Scenario, request.Profile.Name, request.Plan.Devices.Length);
    private TaskCompletionSource? _over;
    private Task _live = Task.CompletedTask;
    private LiveDisplayContext? _display;
    private TimeSpan? _lastLine;

    public void Begin(string part)
    {
        lock (_gate)
        {
            StopLive();
            if (form is ProgressForm.Json)
                WriteJson(new { at = Seconds, part });
            else
                terminal.SayProgress(string.Create(CultureInfo.InvariantCulture, $"[{Seconds,6:0.0}s] {part}"));
        }
    }

    public void Show(RunMoment moment)
    {
        lock (_gate)
        {
            if (form is ProgressForm.Picture)
            {
                _picture.Add(moment);
                StartLive();
                _display?.UpdateTarget(_picture.Draw(moment, terminal.Progress.Profile.Width));
                return;
            }

            var interval = form is ProgressForm.Json ? JsonInterval : LineInterval;
            if (_lastLine is { } last && _clock.Elapsed - last < interval)
                return;

            _lastLine = _clock.Elapsed;
            if (form is ProgressForm.Json)
                WriteJson(ToJson(moment));
            else
                terminal.SayProgress(LineOf(moment));
        }
    }

    public void Say(string line)
    {
        lock (_gate)
        {
            if (form is ProgressForm.Json)
                WriteJson(new { at = Seconds, said = ForeignText.Clean(line, 500) });
            else
                terminal.SayProgress("  " + ForeignText.Clean(line, 500));
        }
    }

    public void Found(Finding finding)
    {
        lock (_gate)
        {
            _picture.Found(finding, _clock.Elapsed);
            if (form is ProgressForm.Json)
                WriteJson(new { at = Seconds, finding = finding.Rule, @object = finding.Object });
            else if (form is ProgressForm.Lines)
                terminal.Progress.MarkupLine(
                    $"[red]finding[/] {Terminal.Safe(finding.Rule)} at {Terminal.Safe(finding.Object)}");
        }
    }

    public ValueTask DisposeAsync()
    {
        lock (_gate)
        {
            StopLive();
        }

        return ValueTask.CompletedTask;
    }

    private double Seconds => Math.Round(_clock.Elapsed.TotalSeconds, 1);

    private string LineOf(RunMoment moment)
    {
        var due = moment.DuePerSecond is { } rate ? Invariant($" of {rate:N0}/s due") : "";
        var open = moment.Open.FirstOrDefault() is { WaitsFor.Length: > 0 } longest
            ? Invariant($"; {longest.Kind.ToString().ToLowerInvariant()} of {longest.Device} waits for ")
            + longest.WaitsFor
            : "";
        return Invariant(
            $"[{Seconds,6:0.0}s] {moment.Phase}{(moment.IsPaused ? " (paused)" : "")}: ")
            + Invariant($"{moment.Operations:N0} operations ")
            + Invariant($"({moment.RatePerSecond:N0}/s{due}), ")
            + (moment.AllocP50Ms is null ? ""
                : Invariant($"alloc p50 {moment.AllocP50Ms:0.##} ms p99 {moment.AllocP99Ms:0.##} ms, "))
            + Invariant($"{moment.Live:N0} live, ")
            + Invariant($"{moment.Unbinds:N0} unbinds ({moment.UnbindsInFlight:N0} in flight), ")
            + Invariant($"{moment.Unknown:N0} unknown, ")
            + Invariant($"{moment.Findings:N0} findings{(moment.Faults > 0 ? $", {moment.Faults:N0} faults" : "")}")
            + ForeignText.Clean(open, 300);
    }

    private object ToJson(RunMoment moment) => new
    {
        at = Seconds,
        phase = moment.Phase,
        phaseLeft = moment.PhaseLeft?.TotalSeconds,
        paused = moment.IsPaused,
        operations = moment.Operations,
        perSecond = Math.Round(moment.RatePerSecond, 1),
        duePerSecond = moment.DuePerSecond,
        achieved = moment.Achieved,
        lagP99Ms = moment.LagP99Ms,
        kinds = moment.Kinds.Select(kind => new
        {
            kind = kind.Kind,
            perSecond = Math.Round(kind.RatePerSecond, 1),
            p50Ms = kind.P50Ms,
            p99Ms = kind.P99Ms,
            maxMs = kind.MaxMs,
        }),
        live = moment.Live,
        unbinds = moment.Unbinds,
        unbindsInFlight = moment.UnbindsInFlight,
        waiting = moment.Open.Select(open => new { device = open.Device, waitsFor = open.WaitsFor }),
        unknown = moment.Unknown,
        findings = moment.Findings,
        faults = moment.Faults,
        backlog = moment.Backlog,
        memoryBytes = moment.MemoryBytes,
        thresholds = moment.Thresholds.Select(one => new
        {
            metric = one.Threshold.Metric,
            of = one.Threshold.Of,
            value = one.Value,
            state = one.State.ToString().ToLowerInvariant(),
        }),
    };

    private void WriteJson(object line) => terminal.SayProgress(JsonSerializer.Serialize(line, LineJson));

    private void StartLive()
    {
        if (_over is not null)
            return;

        var over = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        _over = over;
        _live = terminal.Progress.Live(new Text("")).AutoClear(true).StartAsync(async display =>
        {
            _display = display;
            await over.Task;
        });
    }

    private void StopLive()
    {
        if (_over is null)
            return;

        // What is written next must not be taken away with the picture.
        _display = null;
        _over.SetResult();
        _live.GetAwaiter().GetResult();
        _over = null;
    }
}
