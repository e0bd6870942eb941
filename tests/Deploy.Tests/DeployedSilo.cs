using System.Diagnostics;
using System.Globalization;
using System.Text.Json;

namespace Fleet.Deploy.Tests;

/// <summary>A silo process that was started by its variables alone.</summary>
internal sealed class DeployedSilo : IAsyncDisposable
{
    private static readonly TimeSpan StopPatience = TimeSpan.FromMinutes(5);
    private static readonly TimeSpan Look = TimeSpan.FromMilliseconds(100);

    private readonly Process _process;
    private readonly string _portsFile;

    private DeployedSilo(Process process, string portsFile) => (_process, _portsFile) = (process, portsFile);

    public int HealthPort { get; private set; }

    public static DeployedSilo Start(string program, Dictionary<string, string> variables, Action<string> said)
    {
        var start = new ProcessStartInfo("dotnet", [program])
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        foreach (var (name, value) in variables)
        {
            start.Environment[name] = value;
        }

        var process = new Process { StartInfo = start };
        process.OutputDataReceived += (_, line) => Say(line.Data);
        process.ErrorDataReceived += (_, line) => Say(line.Data);
        process.Start();
        process.BeginOutputReadLine();
        process.BeginErrorReadLine();
        return new(process, variables["FLEET_PORTS_FILE"]);

        void Say(string? line)
        {
            if (line is not null)
            {
                said(line);
            }
        }
    }

    /// <summary>Asks as a probe does until the silo says that it is ready.</summary>
    public async Task ReadyAsync(HttpClient http, TimeSpan patience)
    {
        using var over = new CancellationTokenSource(patience);
        using var timer = new PeriodicTimer(Look);
        while (await timer.WaitForNextTickAsync(over.Token))
        {
            Assert.False(_process.HasExited, "The silo ended before it was ready.");
            if (!File.Exists(_portsFile))
            {
                continue;
            }

            using var ports = JsonDocument.Parse(await File.ReadAllTextAsync(_portsFile, over.Token));
            HealthPort = ports.RootElement.GetProperty("healthPort").GetInt32();
            using var answer = await http.GetAsync($"http://127.0.0.1:{HealthPort}/readyz", over.Token);
            if (answer.IsSuccessStatusCode)
            {
                return;
            }
        }
    }

    /// <returns>The exit code, after the signal that systemd and container engines send.</returns>
    public async Task<int> StopAsync()
    {
        (await Tool.RunAsync("bash", ["-c", string.Create(CultureInfo.InvariantCulture, $"kill -TERM {_process.Id}")]))
            .MustBeFine();
        using var over = new CancellationTokenSource(StopPatience);
        await _process.WaitForExitAsync(over.Token);
        return _process.ExitCode;
    }

    public async ValueTask DisposeAsync()
    {
        if (!_process.HasExited)
        {
            _process.Kill(entireProcessTree: true);
            await _process.WaitForExitAsync();
        }

        _process.Dispose();
    }
}
