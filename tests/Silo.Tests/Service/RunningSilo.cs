using System.Collections.Concurrent;
using System.Diagnostics;
using System.Net;
using System.Net.Http.Json;
using System.Text.Json;
using Fleet.Silo.Cluster;
using Fleet.Silo.Health;
using Fleet.Silo.Service;

namespace Fleet.Silo.Tests.Service;

/// <summary>A silo process as a service manager starts it.</summary>
internal sealed class RunningSilo : IAsyncDisposable
{
    private static readonly TimeSpan Look = TimeSpan.FromMilliseconds(50);
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(5);

    private readonly Process _process;
    private readonly string _portsFile;
    private readonly HttpClient _http = new() { Timeout = TimeSpan.FromMinutes(1) };

    private RunningSilo(Process process, string portsFile) => (_process, _portsFile) = (process, portsFile);

    public ConcurrentQueue<string> Said { get; } = new();

    public int ExitCode => _process.ExitCode;

    public bool HasPortsFile => File.Exists(_portsFile);

    public static RunningSilo Start(
        string directory, string[] options, params (string Name, string Value)[] environment)
    {
        var portsFile = Path.Combine(directory, $"{Guid.NewGuid():N}.ports");
        var start = new ProcessStartInfo(SiloProcess.DotnetHost(), [SiloProcess.Program, .. options])
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            Environment = { ["FLEET_HEALTH_PORT"] = "0", ["FLEET_PORTS_FILE"] = portsFile },
        };
        foreach (var (name, value) in environment)
        {
            start.Environment[name] = value;
        }

        var silo = new RunningSilo(new Process { StartInfo = start }, portsFile);
        silo._process.OutputDataReceived += (_, line) => silo.Take(line.Data);
        silo._process.ErrorDataReceived += (_, line) => silo.Take(line.Data);
        silo._process.Start();
        silo._process.BeginOutputReadLine();
        silo._process.BeginErrorReadLine();
        return silo;
    }

    /// <summary>Asks until the answer is the one that is waited for.</summary>
    public async Task<string> AwaitAsync(string path, HttpStatusCode code, string text = "")
    {
        var last = "nothing";
        await AwaitAsync(
            async () =>
            {
                if (!HasPortsFile)
                {
                    return false;
                }

                try
                {
                    using var answer = await _http.GetAsync(Url(path));
                    last = await answer.Content.ReadAsStringAsync();
                    return answer.StatusCode == code && last.Contains(text, StringComparison.Ordinal);
                }
                catch (Exception e) when (e is HttpRequestException or TaskCanceledException)
                {
                    last = e.Message;
                    return false;
                }
            },
            () => $"{path} {code} {text}, last: {last}");
        return last.Trim();
    }

    public Task AwaitSaidAsync(string text) => AwaitAsync(
        () => Task.FromResult(Said.Any(line => line.Contains(text, StringComparison.Ordinal))), () => text);

    public async Task<SiloHealth> StatusAsync() =>
        (await _http.GetFromJsonAsync<SiloHealth>(Url("/status"), SiloHealth.Json))!;

    public async Task<int> EndAsync(string signal = "TERM")
    {
        using (var kill = Process.Start("/bin/sh", ["-c", $"kill -{signal} {_process.Id}"]))
        {
            await kill.WaitForExitAsync();
        }

        return await AwaitExitAsync();
    }

    public async Task<int> AwaitExitAsync()
    {
        using var patience = new CancellationTokenSource(Patience);
        await _process.WaitForExitAsync(patience.Token);
        return _process.ExitCode;
    }

    public async ValueTask DisposeAsync()
    {
        if (!_process.HasExited)
        {
            _process.Kill();
            await _process.WaitForExitAsync();
        }

        _process.Dispose();
        _http.Dispose();
    }

    private string Url(string path)
    {
        var ports = JsonSerializer.Deserialize<SiloPorts>(File.ReadAllText(_portsFile), SiloHealth.Json)!;
        return $"http://127.0.0.1:{ports.HealthPort}{path}";
    }

    private void Take(string? line)
    {
        if (!string.IsNullOrWhiteSpace(line))
        {
            Said.Enqueue(line);
        }
    }

    private async Task AwaitAsync(Func<Task<bool>> holds, Func<string> what)
    {
        using var timer = new PeriodicTimer(Look);
        var began = Stopwatch.GetTimestamp();
        while (!await holds())
        {
            Assert.True(
                Stopwatch.GetElapsedTime(began) < Patience && (!_process.HasExited || what() == ""),
                $"waited for {what()}; the silo said:\n{string.Join('\n', Said)}");
            await timer.WaitForNextTickAsync();
        }
    }
}
