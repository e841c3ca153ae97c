"""A worker of livekit-agents that waits for calls. Used by `bench tenants`.

The project is in LIVEKIT_URL, LIVEKIT_API_KEY and LIVEKIT_API_SECRET, as its users have it.
"""

from livekit import agents


async def entrypoint(context: agents.JobContext) -> None:
    await context.connect()


if __name__ == "__main__":
    agents.cli.run_app(
        agents.WorkerOptions(entrypoint_fnc=entrypoint, agent_name="pstn-voice-agent", port=0)
    )
